"""What the road's one file stands on: the nodes, the considering, the agreements and the state of one session."""
