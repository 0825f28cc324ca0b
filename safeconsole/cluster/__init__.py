"""Nodes, their roles and readings, and which of them a statement goes to."""
