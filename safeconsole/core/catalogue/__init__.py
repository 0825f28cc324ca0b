"""What is known about the servers, as data: dangerous objects, dangerous actions, pure functions."""
