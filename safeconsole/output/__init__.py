"""Rows and messages to a terminal or a file."""
