"""The gateway: any client of the MySQL protocol walks the road."""
