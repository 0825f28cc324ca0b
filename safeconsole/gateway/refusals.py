"""Errors as clients get them: number, SQLSTATE, and a message that begins with the next step."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from safeconsole.errors import (
    Action,
    AuditUnavailableError,
    NoFitNodeError,
    OutcomeUnknownError,
    RefusedError,
    Remedy,
    SafeConsoleError,
    ServerError,
    StoppedError,
)

REFUSED = 1290
"""ER_OPTION_PREVENTS_STATEMENT, which drivers take for an ordinary error of a statement."""

_GENERAL = "HY000"
_UNKNOWN = 1105
_LIMIT = 1226
_KILLED = 1317

_STATES: Mapping[str, str] = {
    "23000": "1022 1048 1052 1062 1169 1216 1217 1451 1452 1557 1586 1761 1762 1859",
    "42000": (
        "1044 1049 1055 1056 1059 1061 1063 1064 1065 1066 1067 1068 1069 1070 1071 1072 1073 1074 1075 1083 1084 1090"
        " 1091 1101 1102 1103 1104 1106 1107 1110 1112 1113 1115 1118 1120 1121 1131 1132 1133 1138 1139 1140 1141 1142"
        " 1143 1144 1145 1147 1148 1149 1161 1162 1163 1164 1166 1167 1170 1171 1172 1173 1177 1178 1203 1211 1226 1227"
        " 1230 1231 1232 1234 1235 1239 1248 1249 1250 1252 1253 1280 1281 1286 1304 1305 1308 1309 1310 1318 1319 1370"
    ),
    "42S01": "1050",
    "42S02": "1051 1109 1146",
    "42S21": "1060",
    "42S22": "1054 1247",
    "40001": "1213",
    "21000": "1222 1241 1242",
    "21S01": "1058 1136",
    "22001": "1406",
    "22003": "1264 1690",
    "22007": "1292",
    "22012": "1365",
    "22004": "1263",
    "28000": "1045 1698",
    "25000": "1568",
    "25006": "1792",
    "70100": "1317 1969",
    "08S01": "1043 1047 1053 1080 1081 1153 1158 1159 1160 1161 1184",
    "08004": "1040",
    "0A000": "1251 1295",
}
_STATE_OF = {int(number): state for state, numbers in _STATES.items() for number in numbers.split()}
"""Source: MySQL 9.7, "Server Error Message Reference"; what is not here is HY000."""

TIME_LIMITS = frozenset({"run_seconds"})


class ErrorReply(msgspec.Struct, frozen=True, kw_only=True):
    """An error packet's content.

    Attributes:
        details: further lines, for SHOW WARNINGS.
    """

    number: int
    state: str
    message: str
    details: tuple[str, ...] = ()


class ToldError(Exception):
    """Raised to send a client exactly this error."""

    def __init__(self, told: ErrorReply) -> None:
        super().__init__(told.message)
        self.told = told


def state_of(number: int) -> str:
    return _STATE_OF.get(number, _GENERAL)


_WORDS = {
    Action.GET_APPROVAL: "somebody else has to approve it",
    Action.BRING_APPROVAL: "once it is approved, send it again",
    Action.NAME_NODE: "CALL safeconsole.use('node') names another node",
    Action.LOOK_AT_LOCKS: "",
}


def words_of(remedy: Remedy) -> str:
    """Return a remedy as a CALL that a client can send, or ""."""
    match remedy.action:
        case Action.ELEVATE:
            return f"CALL safeconsole.elevate('reason', 'ticket', '{remedy.of}'), then send it again"
        case Action.CONFIRM:
            return "CALL safeconsole.confirm(), then send it again"
        case Action.GIVE_TICKET:
            return "give the ticket as the second word of CALL safeconsole.elevate('reason', 'ticket')"
        case Action.NAME_CLUSTER:
            return f"the third word of CALL safeconsole.elevate is the cluster's name, '{remedy.of}'"
        case Action.RAISE_LIMIT:
            return f"CALL safeconsole.tighten('{remedy.of}', n) sets it, up to {remedy.most:,.15g}"
        case Action.RELEASE_BRAKE:
            return "CALL safeconsole.confirm(), then send it again"
        case _:
            return _WORDS[remedy.action]


def told_of(error: SafeConsoleError, *, time_limit: int) -> ErrorReply:
    """Return the error packet's content for an error.

    Args:
        time_limit: the number that servers of this family have for a statement that took too long.
    """
    if isinstance(error, ServerError):
        number = error.number or _UNKNOWN
        return ErrorReply(
            number=number, state=state_of(number), message=error.server_message, details=_details(error, first="")
        )
    number = _number_of(error, time_limit=time_limit)
    first = "; ".join(dict.fromkeys(filter(None, map(words_of, error.remedies))))
    parts = [first, error.message, f"instead: {error.instead}" if error.instead else ""]
    message = ". ".join(part for part in parts if part)
    return ErrorReply(number=number, state=state_of(number), message=message, details=_details(error, first=first))


def _number_of(error: SafeConsoleError, *, time_limit: int) -> int:
    if isinstance(error, StoppedError):
        if error.by == "person":
            return _KILLED
        if error.ceiling in TIME_LIMITS:
            return time_limit
        return _LIMIT if error.ceiling else _KILLED
    if isinstance(error, RefusedError):
        return REFUSED
    if isinstance(error, (AuditUnavailableError, NoFitNodeError, OutcomeUnknownError)):
        return _UNKNOWN
    return REFUSED


def _details(error: SafeConsoleError, *, first: str) -> tuple[str, ...]:
    lines = (f"do: {first}" if first else "", f"instead: {error.instead}" if error.instead else "", *error.evidence)
    return tuple(line for line in lines if line)
