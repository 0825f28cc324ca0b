"""Open guarded connections and their watchdogs: nothing is handed over before all of it was read back."""

from __future__ import annotations

import time

import msgspec
from msgspec.structs import replace

from safeconsole.adapters.mysql.cancel import Watchdog
from safeconsole.adapters.mysql.connection import MySqlConnection
from safeconsole.adapters.mysql.dialling import dial
from safeconsole.adapters.mysql.error_codes import text_of
from safeconsole.adapters.mysql.guards import Session, enforce, first_open, guards_of, read_session
from safeconsole.adapters.mysql.link import Link
from safeconsole.adapters.mysql.lookout import ANSWER_SECONDS, Lookout, Target
from safeconsole.adapters.mysql.measuring import variant_of, version_of
from safeconsole.adapters.mysql.running import BREAKS
from safeconsole.adapters.mysql.sensors import Sensors
from safeconsole.adapters.mysql.variants import Variant
from safeconsole.adapters.mysql.wire import Login, Wire
from safeconsole.core.errors import SafeConsoleError, UnreachableError
from safeconsole.core.limits import Limits
from safeconsole.core.routing import Identity
from safeconsole.core.vocabulary import Account, NodeName
from safeconsole.interfaces import Sensor

_LEAST_SECONDS = 0.1
_OWN_LIMITS = Limits(run_seconds=ANSWER_SECONDS, lock_wait_seconds=1)


class Guarded(msgspec.Struct, frozen=True, kw_only=True):
    """
    A connection whose guards were set and read back.

    Attributes:
        wire: the connection.
        variant: the family member at the other end.
        version: as in `LexicalRules.version`.
        session: what it said of itself then.
    """

    wire: Wire
    variant: Variant
    version: int
    session: Session


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
    link = Link(
        node=node,
        account=account,
        variant=guarded.variant,
        version=guarded.version,
        wire=guarded.wire,
        watchdog=watchdog,
        identity=Identity(server=server, address=login.address),
        patience_seconds=login.connect_seconds,
        schema=guarded.session.schema,
    )
    return MySqlConnection(link, guarded.session)


def _guard(wire: Wire, login: Login, limits: Limits, *, expected_server: str) -> Guarded:
    variant, version = variant_of(wire), version_of(wire.server_version)
    wire.takes_several = variant.takes_several
    guards = guards_of(variant, version)
    enforce(wire, guards, limits, server=login.address)
    session = read_session(wire, variant, guards)
    open_guard = first_open(guards, session, limits)
    if open_guard:
        raise UnreachableError(f"{login.address} does not hold a guard: {open_guard}")
    if expected_server and session.server != expected_server:
        raise UnreachableError(f"{login.address} answers as another server than before: {session.server}")
    return Guarded(wire=wire, variant=variant, version=version, session=session)


def _watchdog_beside(guarded: Guarded, login: Login, *, open_by: float, free_memory: Sensor | None) -> Watchdog:
    """Return the watchdog of a connection, on a second one to the same instance. Raises UnreachableError."""
    server, thread = guarded.session.server, guarded.wire.thread

    def open_watching() -> Wire:
        return open_own(login, expected_server=server).wire

    within = replace(login, connect_seconds=max(open_by - time.monotonic(), _LEAST_SECONDS))
    lookout = Lookout(
        variant=guarded.variant,
        wire=open_own(within, expected_server=server).wire,
        reopen=open_watching,
        target=Target(thread=thread, host="", cut=guarded.wire.cut),
        sensors=Sensors(variant=guarded.variant, thread=thread, free_memory=free_memory),
    )
    host = lookout.host()
    if not host:
        lookout.close()
        raise UnreachableError(f"the watchdog does not see the connection it is to watch on {login.address}")
    lookout.target = Target(thread=thread, host=host, cut=guarded.wire.cut)
    return Watchdog(lookout)
