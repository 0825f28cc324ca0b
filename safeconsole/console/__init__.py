"""The interactive SQL console."""
