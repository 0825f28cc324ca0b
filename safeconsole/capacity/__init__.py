"""Sizes and migration leftovers, asked safely."""
