"""Opens guarded connections to one node, and measures it.

Nothing is handed over before its guards and its watchdog were seen to hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from safeconsole.cluster.engine import Sensor, in_turn
from safeconsole.config.secrets import Secret
from safeconsole.config.settings import ClusterSettings
from safeconsole.errors import ConfigurationError, CrowdedError, SafeConsoleError, UnreachableError
from safeconsole.mysql.connection import MySqlConnection
from safeconsole.mysql.control import ANSWER_SECONDS, Control, Line
from safeconsole.mysql.dialling import NodeAddress, dial, login_for, resolve
from safeconsole.mysql.discovery import Lead, Met, company_of, why_not_asked
from safeconsole.mysql.error_codes import first_words_error, is_lost, text_of
from safeconsole.mysql.guards import (
    CHARACTERS,
    ServerSession,
    enforce_each,
    first_open,
    guards_of,
    privileges_told,
    read_back,
    reading_of,
    rules_of,
    setting_of,
)
from safeconsole.mysql.history import History
from safeconsole.mysql.link import MySqlLink
from safeconsole.mysql.login import Login
from safeconsole.mysql.measuring import Questions
from safeconsole.mysql.recognising import (
    ANOTHER_PRODUCT,
    GATEWAY,
    Variant,
    check_greeting,
    dialect_of,
    require_no_gateway,
    version_of,
)
from safeconsole.mysql.running import BREAKS
from safeconsole.mysql.sensors import FirstLook, Lookout, Target
from safeconsole.mysql.topology import prove_role
from safeconsole.mysql.watchdog import NodeWatch, Watchdog
from safeconsole.mysql.wire import DriverError, ServerReply, Wire
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import Identity, Reading
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Account, NodeName

if TYPE_CHECKING:
    from safeconsole.mysql.bastion import Bastion

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


First = Callable[[Dialect], tuple[str, ...]]
"""Questions of the console's that are asked of a server of some dialect in the round trip of the guards."""


def _nothing(_dialect: Dialect) -> tuple[str, ...]:
    return ()


def open_guarded(  # noqa: PLR0913 (what one connection is opened with, each named)
    login: Login,
    limits: Limits,
    *,
    expected_server: str = "",
    schema: str = "",
    known: Variant | None = None,
    first: First = _nothing,
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


def open_own(login: Login, *, known: Variant | None = None, first: First = _nothing) -> Guarded:
    """Open a connection for the console's own short queries. Raises as `open_guarded`."""
    return open_guarded(login, _OWN_LIMITS, known=known, first=first)


def open_connection(  # noqa: PLR0913 (what one connection is opened with, each named)
    login: Login,
    watch: NodeWatch,
    *,
    node: NodeName,
    account: Account,
    expected_server: str,
    schema: str = "",
    known: Variant | None = None,
    shares_writes: bool = False,
) -> MySqlConnection:
    """Open a guarded connection once the node's control connection can see it. Raises as `open_guarded`."""
    looks: list[FirstLook] = []

    def look(wire: Wire, dialect: Dialect) -> None:
        target = Target(thread=wire.thread, host="", server=expected_server, cut=wire.cut)
        looks.append(FirstLook(Lookout(watch.control, dialect, target), watch.eye))

    # What an account may do is known to itself alone, and the elevated one is asked when it is there.
    ask = attrgetter("diagnosis.of_itself") if account is Account.ELEVATED else _nothing
    opening = partial(open_guarded, login, Limits(), expected_server=expected_server, schema=schema, known=known)
    guarded = opening(logged_in=look, first=ask)
    server, wire, first = guarded.session.server, guarded.wire, looks[-1]
    try:
        is_seen = first.awaited()
    except BaseException:
        wire.discard()
        raise
    if not is_seen:
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
        watchdog=Watchdog(watch, first.lookout),
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
    measures: bool = True,
    known: Variant | None = None,
) -> Line:
    """Open a connection for the console's own short queries.

    Args:
        heartbeat: as in `Questions`.
        measures: whether the node is asked at once what it is.
        known: which server was there before.

    Raises:
        UnreachableError: as `open_guarded`.
    """
    opened = time.monotonic()
    ask = partial(_questions_on, heartbeat) if measures else _nothing
    guarded = open_own(login, known=known, first=ask)
    return Line(
        questions=Questions(dialect=guarded.dialect, heartbeat=heartbeat),
        opened_seconds=opened,
        first=guarded.replies,
        wire=guarded.wire,
        dialect=guarded.dialect,
        version=guarded.version,
        session=guarded.session,
        login=login,
        place=place,
    )


def _questions_on(heartbeat: str, dialect: Dialect) -> tuple[str, ...]:
    return Questions(dialect=dialect, heartbeat=heartbeat).texts


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


MEASURED_WITHIN_SECONDS = 2.0
"""Timeout of one answer while measuring."""

REFUSED_SECONDS = 300.0
"""How long it is believed that the account may not ask what it was refused: most grants are for the next login only."""


class MeasuredNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node that answered: its address, identity and lexical rules.

    Attributes:
        place: its address as resolved then; connections go there.
        server: its identity; connections compare it.
        variant, rules: which server it is, and its lexical rules.
        met: the same as others find it, and whom it speaks of.
        shares_writes: as in `Reading`.
    """

    place: NodeAddress
    server: str
    variant: Variant
    rules: LexicalRules
    met: Met
    shares_writes: bool = False


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The result of measuring one address; `seen` is None if no server answered."""

    reading: Reading
    seen: MeasuredNode | None = None


class Monitor:
    """Measures one address, over its control connection.

    Args:
        node: the name that its readings carry.
        address: "host:port" or a socket's path; resolved anew whenever the connection is opened anew.
        secret: fetches the read account's for an address, when a connection is opened.
        bastion: reaches it, where its network is another one.
        free_memory: a source for the host's free memory, or None.
        running_memory: such a source, asked while a statement runs, or None.
        lead: how the address was found, None for a configured one.
        make_room: closes a connection of the account that nobody uses now, where there is one.
        now: the cluster's clock.
    """

    def __init__(  # noqa: PLR0913 (what one address is measured with, each named)
        self,
        *,
        node: NodeName,
        address: str,
        settings: ClusterSettings,
        secret: Callable[[str], Secret],
        bastion: Bastion | None = None,
        free_memory: Sensor | None = None,
        running_memory: Sensor | None = None,
        lead: Lead | None = None,
        make_room: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.node = node
        self.address = address
        self._known: Variant | None = None
        self._settings = settings
        self._secret = secret
        self._bastion = bastion
        self._free_memory = free_memory
        self._lead = lead
        self._make_room = make_room
        self._now = now
        self._log_in_again_seconds = float("inf")
        self._answer_seconds = min(settings.connect_seconds, MEASURED_WITHIN_SECONDS)
        self.watch = NodeWatch(Control(self._open_line, now), free_memory=running_memory)
        self.history = History(self.watch.control, now, connect_seconds=settings.connect_seconds)

    def measure(self, now_seconds: float) -> Measurement:
        """Measure the node; if it does not answer, the reading says so.

        Raises:
            ConfigurationError: the address, the account's secret or its TLS settings are wrong; of a found address
                that is a reading, since nobody configured it.
        """
        is_full = is_gateway = False
        if self._now() >= self._log_in_again_seconds and self.watch.rest(idle_seconds=0) is None:
            self._log_in_again_seconds = float("inf")
        try:
            measure_it = partial(self._measure, now_seconds, time.monotonic())
            return self.watch.control.ask(measure_it, within_seconds=self._answer_seconds)
        except UnreachableError as error:
            trouble, mend, is_full = error.message, error.instead, isinstance(error, CrowdedError)
            is_gateway = error.code == GATEWAY
        except ConfigurationError as error:
            if self._lead is None:
                raise
            trouble, mend = error.message, error.instead
        except BREAKS as error:
            trouble, mend = f"lost while it was measured: {text_of(error).lower()}", ""
        return self.silent(trouble, now_seconds, mend=mend, is_full=is_full, is_gateway=is_gateway)

    def silent(
        self,
        trouble: str,
        now_seconds: float,
        *,
        mend: str = "",
        is_full: bool = False,
        is_gateway: bool = False,
    ) -> Measurement:
        """Return the reading of a node that cannot be measured, or did not answer in time."""
        reading = Reading(
            node=self.node,
            unreachable=trouble,
            mend=mend,
            is_full=is_full,
            is_gateway=is_gateway,
            tags=self._tags(),
            measured_seconds=now_seconds,
        )
        return Measurement(reading=reading)

    def close(self) -> None:
        """Close its connection; never raises."""
        self.watch.close()

    def _measure(self, now_seconds: float, asked_seconds: float, line: Line) -> Measurement:
        # A connection that was opened for this brought the answers along.
        replies = line.first if line.first and line.opened_seconds >= asked_seconds else None
        measured = line.questions.measured(line.wire, replies or line.wire.flight(*line.questions.texts))
        proof = prove_role(measured.facts)
        self._known = line.variant
        if line.questions.refused and self._log_in_again_seconds == float("inf"):
            self._log_in_again_seconds = self._now() + REFUSED_SECONDS
        member = measured.facts.member
        self.history.measured(line.dialect, in_galera=member is not None and member.kind == "galera")
        seen = MeasuredNode(
            place=line.place,
            server=measured.server,
            variant=line.variant,
            rules=rules_of(line.dialect, line.version, line.session.sql_mode),
            met=Met(
                server=measured.server,
                place=line.place,
                company=company_of(measured.facts, measured.followers, measured.listed),
            ),
            shares_writes=measured.facts.shares_writes,
        )
        reading = Reading(
            node=self.node,
            role=proof.role,
            proof=proof.words,
            identity=Identity(server=measured.server, address=line.place.address),
            flavour=line.dialect.flavour,
            version=line.wire.server_version.removeprefix("5.5.5-"),
            lag_seconds=proof.lag_seconds,
            replicating=proof.replicating,
            shares_writes=measured.facts.shares_writes,
            read_only=measured.facts.read_only or measured.facts.innodb_read_only,
            mark=measured.mark,
            free_memory_bytes=self._free_memory.read() if self._free_memory else None,
            used_memory_bytes=measured.used_memory_bytes,
            threads_running=measured.threads_running,
            tables=measured.tables,
            history_length=measured.history_length,
            tags=self._tags(),
            one_at_a_time=line.dialect.server.takes_several and not line.wire.takes_several,
            measured_seconds=now_seconds,
        )
        return Measurement(reading=reading, seen=seen)

    def _open_line(self, again: Line | None) -> Line:
        while True:
            try:
                # Who watches a statement waits for its turn; who measures tells that the node is full.
                return in_turn(partial(self._line, again)) if again is not None else self._line(None)
            except CrowdedError:
                if not self._make_room():
                    raise

    def _line(self, again: Line | None) -> Line:
        if again is not None:
            heartbeat = again.questions.heartbeat
            return open_line(again.login, again.place, heartbeat=heartbeat, measures=False, known=again.variant)
        place = resolve(self.address, bastion=self._settings.ssh)
        if self._lead and (why := why_not_asked(self._lead, place, self._settings)):
            raise UnreachableError(f"it was not asked, since {why}")
        login = login_for(
            place,
            self._settings.tls,
            secret=self._secret(place.named),
            bastion=self._bastion,
            connect_seconds=self._settings.connect_seconds,
        )
        return open_line(login, place, heartbeat=self._settings.heartbeat, known=self._known)

    def _tags(self) -> frozenset[str]:
        return frozenset(self._settings.tags.get(self.address, ()))
