"""The nodes of a cluster, their roles and readings, and the routing of statements to them."""
