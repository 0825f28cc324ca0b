"""One family of servers: MySQL, MariaDB, Aurora MySQL, Percona."""

from safeconsole.adapters.mysql.driver import import_driver

# MUST come before the first other import of the driver, whichever module of this folder does it.
import_driver()
