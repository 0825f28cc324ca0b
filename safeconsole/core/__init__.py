"""Decides: pure values and functions, no I/O, no clock, no randomness, no threads."""
