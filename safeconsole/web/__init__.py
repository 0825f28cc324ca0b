"""The review page of `audit serve`: server-rendered, on loopback, with nothing from elsewhere."""
