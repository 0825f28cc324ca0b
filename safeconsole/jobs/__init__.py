"""Programs that walk the road many times."""
