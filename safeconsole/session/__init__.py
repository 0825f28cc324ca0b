"""One person's session on one cluster: the gate, and its parts."""
