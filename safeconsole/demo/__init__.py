"""A cluster to try the console on: embedded, or real servers started without root."""
