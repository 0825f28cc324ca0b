"""Open guarded connections and their watchdogs: nothing is handed over before all of it was read back."""

from __future__ import annotations

import threading
import time

import msgspec
from msgspec.structs import replace

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Sensor
from safeconsole.config.secrets import Secrets
from safeconsole.errors import SafeConsoleError, UnreachableError
from safeconsole.mysql.connection import MySqlConnection
from safeconsole.mysql.dialling import dial
from safeconsole.mysql.error_codes import text_of
from safeconsole.mysql.guards import ServerSession, enforce, first_open, guards_of, read_session
from safeconsole.mysql.link import MySqlLink
from safeconsole.mysql.measuring import dialect_of, version_of
from safeconsole.mysql.running import BREAKS
from safeconsole.mysql.sensors import ANSWER_SECONDS, Lookout, Sensors, Target
from safeconsole.mysql.watchdog import Watchdog
from safeconsole.mysql.wire import Login, Wire
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import Identity
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.vocabulary import Account, NodeName

# --------------------------------------------------------------------------------------------------------------------
# One account's password, fetched once for all connections that are opened together.


HOLD_SECONDS = 5.0
"""How long a password is used again: a start opens several connections, and a rotated one must be found soon."""


class HeldPassword:
    """
    The password of one account; may be asked from several threads.

    A source may be a program that takes a second or asks for a touch of a key: every node's connection,
    and the one for the statement, would start it again.

    Args:
        is_by_node: whether a node's is good for that node alone, as an IAM token is.
    """

    def __init__(self, secrets: Secrets, clock: Clock, *, cluster: str, account: str, is_by_node: bool = False) -> None:
        self._secrets = secrets
        self._clock = clock
        self._cluster = cluster
        self._account = account
        self._is_by_node = is_by_node
        self._asking = threading.Lock()
        self._held: dict[str, tuple[float, str]] = {}

    def get(self, node: str = "") -> str:
        """Return it, for the node at an address. Raises ConfigurationError, as `interfaces.Secrets`."""
        place = node if self._is_by_node else ""
        with self._asking:
            held = self._held.get(place)
            if held is None or self._clock.monotonic() - held[0] > HOLD_SECONDS:
                password = self._secrets.password(self._cluster, self._account, place)
                held = self._held[place] = (self._clock.monotonic(), password)
            return held[1]


# --------------------------------------------------------------------------------------------------------------------
# Open guarded connections and their watchdogs: nothing is handed over before all of it was read back.


_LEAST_SECONDS = 0.1
_OWN_LIMITS = Limits(run_seconds=ANSWER_SECONDS, lock_wait_seconds=1)


class Guarded(msgspec.Struct, frozen=True, kw_only=True):
    """
    A connection whose guards were set and read back.

    Attributes:
        wire: the connection.
        dialect: the family member at the other end.
        version: as in `LexicalRules.version`.
        session: what it said of itself then.
    """

    wire: Wire
    dialect: Dialect
    version: int
    session: ServerSession


def open_guarded(login: Login, limits: Limits, *, expected_server: str = "", schema: str = "") -> Guarded:
    """
    Open one connection, put its guards in force and read them back.

    Args:
        expected_server: the identity that must answer, or "" for the first meeting.

    Raises:
        UnreachableError: no connection, another server, or a guard that does not hold; the message says which.
    """
    wire = dial(login, schema=schema)
    try:
        guarded = _guard(wire, login, limits, expected_server=expected_server)
    except SafeConsoleError:
        wire.discard()
        raise
    except BREAKS as error:
        wire.discard()
        raise UnreachableError(f"{login.address} was lost while its guards were set: {text_of(error)}") from None
    wire.ready()
    return guarded


def open_own(login: Login, *, expected_server: str = "") -> Guarded:
    """Open a connection for the console's own questions, which are short. Raises as `open_guarded`."""
    return open_guarded(login, _OWN_LIMITS, expected_server=expected_server)


def open_connection(
    login: Login,
    *,
    node: NodeName,
    account: Account,
    expected_server: str = "",
    schema: str = "",
    free_memory: Sensor | None = None,
) -> MySqlConnection:
    """
    Open a guarded connection with its watchdog beside it, both within the login's `connect_seconds`.

    Raises as `open_guarded`.
    """
    open_by = time.monotonic() + login.connect_seconds
    guarded = open_guarded(login, Limits(), expected_server=expected_server, schema=schema)
    server = guarded.session.server
    try:
        watchdog = _watchdog_beside(guarded, login, open_by=open_by, free_memory=free_memory)
    except SafeConsoleError:
        guarded.wire.discard()
        raise
    link = MySqlLink(
        node=node,
        account=account,
        dialect=guarded.dialect,
        version=guarded.version,
        wire=guarded.wire,
        watchdog=watchdog,
        identity=Identity(server=server, address=login.address),
        patience_seconds=login.connect_seconds,
        schema=guarded.session.schema,
    )
    return MySqlConnection(link, guarded.session)


def _guard(wire: Wire, login: Login, limits: Limits, *, expected_server: str) -> Guarded:
    dialect, version = dialect_of(wire), version_of(wire.server_version)
    wire.takes_several = dialect.server.takes_several
    guards = guards_of(dialect, version)
    enforce(wire, guards, limits, server=login.address)
    session = read_session(wire, dialect, guards)
    open_guard = first_open(guards, session, limits)
    if open_guard:
        raise UnreachableError(f"{login.address} does not hold a guard: {open_guard}")
    if expected_server and session.server != expected_server:
        raise UnreachableError(f"{login.address} answers as another server than before: {session.server}")
    return Guarded(wire=wire, dialect=dialect, version=version, session=session)


def _watchdog_beside(guarded: Guarded, login: Login, *, open_by: float, free_memory: Sensor | None) -> Watchdog:
    """Return the watchdog of a connection, on a second one to the same instance. Raises UnreachableError."""
    server, thread = guarded.session.server, guarded.wire.thread

    def open_watching() -> Wire:
        return open_own(login, expected_server=server).wire

    within = replace(login, connect_seconds=max(open_by - time.monotonic(), _LEAST_SECONDS))
    lookout = Lookout(
        dialect=guarded.dialect,
        wire=open_own(within, expected_server=server).wire,
        reopen=open_watching,
        target=Target(thread=thread, host="", cut=guarded.wire.cut),
        sensors=Sensors(dialect=guarded.dialect, thread=thread, free_memory=free_memory),
    )
    host = lookout.host()
    if not host:
        lookout.close()
        raise UnreachableError(f"the watchdog does not see the connection it is to watch on {login.address}")
    lookout.target = Target(thread=thread, host=host, cut=guarded.wire.cut)
    return Watchdog(lookout)
