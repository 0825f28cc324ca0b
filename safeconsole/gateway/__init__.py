"""The gateway: serves any client of the MySQL protocol."""
