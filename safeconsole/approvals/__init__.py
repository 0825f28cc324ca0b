"""A second person's yes, and notices."""
