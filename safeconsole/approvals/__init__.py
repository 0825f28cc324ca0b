"""Approvals by a second person, and notices."""
