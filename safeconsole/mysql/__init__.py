"""One family of servers: MySQL, MariaDB, Aurora MySQL, Percona."""
