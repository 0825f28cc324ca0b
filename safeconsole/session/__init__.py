"""One person on one cluster: the gate, and what it stands on."""
