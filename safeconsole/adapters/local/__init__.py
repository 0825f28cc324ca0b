"""This computer: files, secrets, clock, and who the person is."""
