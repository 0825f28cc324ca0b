"""For applications: a SQLAlchemy pool that survives a failover without a redeploy.

    from safeconsole import reconnect

    watched = reconnect.install(engine, role="primary", nodes=("10.0.0.5:3306", "10.0.0.6:3306"))
    watched.counters()

It needs SQLAlchemy and one of its drivers PyMySQL, mysqlclient and mysql-connector, and nothing else of safeconsole.
"""

from safeconsole.reconnect.board import Role
from safeconsole.reconnect.pool import Counters, Installed, Options, install

__all__ = ["Counters", "Installed", "Options", "Role", "install"]
