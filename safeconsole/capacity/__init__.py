"""Sizes of tables, leftovers of schema migrations, and growth, measured without loading the server."""
