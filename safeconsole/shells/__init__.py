"""Talks to the person; knows no driver."""
