"""
The errors of PEP 249, and which of them a server's error number is.

Only what a server answered becomes one of them. That something was refused, stopped or lost stays an error of
the console: code that retries what a driver calls operational must not retry those.
"""

from __future__ import annotations

from collections.abc import Mapping

from safeconsole.errors import ServerError
from safeconsole.sqltext.vocabulary import Flavour


class Warning(Exception):  # noqa: A001, N818 (the name is PEP 249's)
    """Never raised; PEP 249 asks for it."""


class Error(Exception):
    """
    What a server, or this interface to it, says no with.

    Args:
        code: the server's error number, 0 where there is none.
        message: what it said.
    """


class InterfaceError(Error):
    """The interface was used wrongly, such as a closed cursor."""


class DatabaseError(Error):
    """Anything about the database."""


class DataError(DatabaseError):
    """A value that cannot be processed."""


class OperationalError(DatabaseError):
    """Something that is not under the programmer's control."""


class IntegrityError(DatabaseError):
    """A constraint holds."""


class InternalError(DatabaseError):
    """The database met an error of its own."""


class ProgrammingError(DatabaseError):
    """The statement or its parameters are wrong."""


class NotSupportedError(DatabaseError):
    """The console, or the server, does not offer this."""


_FAMILY: Mapping[int, type[DatabaseError]] = {
    **dict.fromkeys((1022, 1048, 1062, 1215, 1216, 1217, 1451, 1452, 1557, 1586, 3819), IntegrityError),
    **dict.fromkeys(
        (1007, 1008, 1049, 1050, 1051, 1052, 1054, 1064, 1091, 1102, 1103, 1109, 1110, 1111, 1112, 1113, 1146, 1149,
         1166, 1179, 1305),
        ProgrammingError,
    ),
    **dict.fromkeys((1171, 1230, 1263, 1264, 1265, 1292, 1366, 1367, 1406, 1441, 1690), DataError),
    **dict.fromkeys((1196, 1235, 1286, 1289), NotSupportedError),
}  # fmt: skip
"""Source: PyMySQL 1.2.4, `err.error_map`; and by MySQL 9.7's manual, "Server Error Message Reference", what means
the same and that driver calls operational: a wrong name, a constraint, a value out of range."""

_SQLITE: Mapping[int, type[DatabaseError]] = {
    1: OperationalError,
    19: IntegrityError,
    20: IntegrityError,
    25: ProgrammingError,
}
"""Source: SQLite, "Result and Error Codes"; 1 is what it says of most mistakes."""


def fault_of(error: ServerError, flavour: Flavour) -> DatabaseError:
    """Return a server's error as PEP 249 sorts it."""
    table = _SQLITE if flavour is Flavour.SQLITE else _FAMILY
    return table.get(error.code, OperationalError)(error.code, error.server_message)
