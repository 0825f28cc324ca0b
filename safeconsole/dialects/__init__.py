"""What differs between servers, as data. Pure."""
