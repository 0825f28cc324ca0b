"""A cluster for trying the console: embedded, or real servers started without root."""
