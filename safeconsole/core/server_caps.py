"""
Which statements the server's own time limit ends, and for which the console's watchdog is the only one.

Source: MySQL 9.7 and MariaDB 10.11, measured (docs/limits.md, "What a server's own cap does not stop"); Aurora MySQL by
its kinship with MySQL.
"""

from __future__ import annotations

from safeconsole.core.statement import Statement
from safeconsole.core.vocabulary import Effect, Flavour

# max_execution_time holds for what reads rows, and for nothing else.
_CAPPED_BY_MYSQL = frozenset({"select", "with", "table", "values", "explain", "describe", "desc"})
# max_statement_time starts anew with each statement of a routine or a block.
_UNCAPPED_BY_MARIADB = frozenset({"call", "begin", "if", "while", "for", "loop", "repeat", "case", "unknown"})


def is_capped(statement: Statement, flavour: Flavour) -> bool:
    """
    Whether the server ends a statement at its time limit by itself, the console alive or not.

    Args:
        flavour: the node's family member.
    """
    verb = statement.kind.split(" ", 1)[0]
    match flavour:
        case Flavour.MYSQL | Flavour.AURORA_MYSQL:
            # A function that is not known may change rows, and then nothing ends the SELECT that calls it.
            return verb in _CAPPED_BY_MYSQL and not statement.effects & {Effect.UNKNOWN, Effect.WRITE}
        case Flavour.MARIADB:
            return verb not in _UNCAPPED_BY_MARIADB or statement.kind == "begin"
        case Flavour.SQLITE:
            return False


def may_end_within(statement: Statement, flavour: Flavour) -> bool:
    """Whether the time limit can end it or a part of it: MariaDB's holds for each statement of a routine too."""
    return flavour is Flavour.MARIADB or is_capped(statement, flavour)
