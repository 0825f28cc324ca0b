"""The review page of `audit serve`: rendered on the server, on loopback, without external resources."""
