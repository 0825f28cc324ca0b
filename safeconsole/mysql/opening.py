"""Opens guarded connections to one node; none is handed over before its guards and its watchdog were seen to hold."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter

import msgspec

from safeconsole.errors import SafeConsoleError, UnreachableError
from safeconsole.mysql.connection import MySqlConnection
from safeconsole.mysql.control import ANSWER_SECONDS, First, Line, nothing_first
from safeconsole.mysql.dialling import NodeAddress, dial
from safeconsole.mysql.error_codes import first_words_error, is_lost
from safeconsole.mysql.guards import (
    CHARACTERS,
    ServerSession,
    enforce_each,
    first_open,
    guards_of,
    privileges_told,
    read_back,
    reading_of,
    setting_of,
)
from safeconsole.mysql.link import MySqlLink
from safeconsole.mysql.login import Login
from safeconsole.mysql.measuring import Questions
from safeconsole.mysql.recognising import (
    ANOTHER_PRODUCT,
    Variant,
    check_greeting,
    dialect_of,
    require_no_gateway,
    version_of,
)
from safeconsole.mysql.running import BREAKS
from safeconsole.mysql.sensors import FirstLook
from safeconsole.mysql.watchdog import NodeWatch, Watchdog
from safeconsole.mysql.wire import DriverError, ServerReply, Wire
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import Identity
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.vocabulary import Account, NodeName

_OWN_LIMITS = Limits(run_seconds=ANSWER_SECONDS, lock_wait_seconds=1)


class Guarded(msgspec.Struct, frozen=True, kw_only=True):
    """A connection whose guards were set and read back.

    Attributes:
        dialect: the family member at the other end.
        version: as in `LexicalRules.version`.
        replies: to the first questions.
    """

    wire: Wire
    dialect: Dialect
    version: int
    session: ServerSession
    replies: list[ServerReply] = []


def open_guarded(  # noqa: PLR0913 (what one connection is opened with, each named)
    login: Login,
    limits: Limits,
    *,
    expected_server: str = "",
    schema: str = "",
    known: Variant | None = None,
    first: First = nothing_first,
    logged_in: Callable[[Wire, Dialect], None] = lambda _wire, _dialect: None,
    one_at_a_time: bool = False,
) -> Guarded:
    """Open a connection, set its guards and read them back.

    Args:
        expected_server: the identity that must answer, or "" for the first meeting.
        known: which server was there before.
        first: asked in the same round trip.
        logged_in: called before that, for what can be done beside it.
        one_at_a_time: ask each question after the answer to the one before.

    Raises:
        UnreachableError: no connection, another server, or a guard that does not hold; the message says which.
    """
    wire = dial(login, schema=schema)
    try:
        check_greeting(wire.server_version, address=login.address)
        dialect = dialect_of(wire, known)
        one_at_a_time = one_at_a_time or (known is not None and not known.takes_several)
        wire.takes_several = dialect.server.takes_several and not one_at_a_time
        logged_in(wire, dialect)
        guarded = _guard_or_say_why(wire, login, limits, dialect, expected_server=expected_server, first=first)
    except SafeConsoleError:
        wire.discard()
        raise
    except BREAKS as error:
        wire.discard()
        if wire.takes_several and not isinstance(error, TimeoutError):
            # What stands before a server may end a connection on which a question comes before its turn.
            return open_guarded(
                login,
                limits,
                expected_server=expected_server,
                schema=schema,
                known=known,
                first=first,
                logged_in=logged_in,
                one_at_a_time=True,
            )
        if isinstance(error, (IndexError, ValueError)):
            raise UnreachableError(f"{login.address} does not say what holds on a session: {ANOTHER_PRODUCT}") from None
        raise first_words_error(error, server=login.address, account=login.account) from None
    wire.ready()
    return guarded


def open_own(login: Login, *, known: Variant | None = None, first: First = nothing_first) -> Guarded:
    """Open a connection for the console's own short queries. Raises as `open_guarded`."""
    return open_guarded(login, _OWN_LIMITS, known=known, first=first)


def open_connection(  # noqa: PLR0913 (what one connection is opened with, each named)
    login: Login,
    watch: NodeWatch,
    *,
    node: NodeName,
    account: Account,
    expected_server: str = "",
    schema: str = "",
    known: Variant | None = None,
    shares_writes: bool = False,
    look: FirstLook | None = None,
) -> MySqlConnection:
    """Open a guarded connection once the node's control connection can see it.

    Args:
        look: looks for it beside a measurement; else the control connection is asked at once.

    Raises:
        UnreachableError: as `open_guarded`, or the control connection does not see it.
    """
    if look is None:
        look = FirstLook(watch.control, watch.eye)
        look.start(expected_server)
    # What an account may do is known to itself alone, and the elevated one is asked when it is there.
    ask = attrgetter("diagnosis.of_itself") if account is Account.ELEVATED else nothing_first
    opening = partial(open_guarded, login, Limits(), expected_server=expected_server, schema=schema, known=known)
    try:
        guarded = opening(logged_in=look.logged_in, first=ask)
    except BaseException:
        look.give_up()
        raise
    server, wire = guarded.session.server, guarded.wire
    try:
        lookout = look.awaited(server)
    except BaseException:
        wire.discard()
        raise
    if lookout is None:
        wire.discard()
        raise UnreachableError(
            f"the watchdog does not see the connection it is to watch on {login.address}; where a proxy before the"
            " server numbers connections by itself, as ProxySQL and MaxScale do, name the servers behind it in nodes"
        )
    link = MySqlLink(
        node=node,
        account=account,
        dialect=guarded.dialect,
        version=guarded.version,
        wire=wire,
        watchdog=Watchdog(watch, lookout),
        identity=Identity(server=server, address=login.address),
        patience_seconds=login.connect_seconds,
        schema=guarded.session.schema,
        shares_writes=shares_writes,
        privileges=privileges_told(guarded.dialect, guarded.replies),
    )
    return MySqlConnection(link, guarded.session)


def open_line(
    login: Login,
    place: NodeAddress,
    *,
    heartbeat: str = "",
    known: Variant | None = None,
    first: First = nothing_first,
) -> Line:
    """Open a connection for the console's own short queries.

    Args:
        heartbeat: as in `Questions`.
        known: which server was there before.
        first: asked in the same round trip as the guards.

    Raises:
        UnreachableError: as `open_guarded`.
    """
    guarded = open_own(login, known=known, first=first)
    return Line(
        questions=Questions(dialect=guarded.dialect, heartbeat=heartbeat),
        first=guarded.replies,
        wire=guarded.wire,
        dialect=guarded.dialect,
        version=guarded.version,
        session=guarded.session,
        login=login,
        place=place,
    )


def _guard_or_say_why(
    wire: Wire, login: Login, limits: Limits, dialect: Dialect, *, expected_server: str, first: First
) -> Guarded:
    try:
        return _guard(wire, login, limits, dialect, expected_server=expected_server, first=first)
    except UnreachableError:
        require_no_gateway(wire, address=login.address)
        raise


def _guard(
    wire: Wire, login: Login, limits: Limits, dialect: Dialect, *, expected_server: str, first: First
) -> Guarded:
    version = version_of(wire.server_version)
    guards, then = guards_of(dialect, version), first(dialect)
    reading = reading_of(dialect, guards)
    try:
        proof = read_back(wire, reading, guards, first=(setting_of(guards, limits, first=CHARACTERS),), then=then)
    except DriverError as error:
        if is_lost(error):
            raise
        # Once more one by one, to say which.
        enforce_each(wire, guards, limits, server=login.address)
        proof = read_back(wire, reading, guards, first=(f"SET {CHARACTERS}",), then=then)
    session = proof.session
    open_guard = first_open(guards, session, limits)
    if open_guard:
        raise UnreachableError(f"{login.address} has a guard that is not in force: {open_guard}")
    if expected_server and session.server != expected_server:
        raise UnreachableError(f"{login.address} answers as another server than before: {session.server}")
    return Guarded(wire=wire, dialect=dialect, version=version, session=session, replies=proof.replies)
