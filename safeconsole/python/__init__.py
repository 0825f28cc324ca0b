"""The interactive Python console."""
