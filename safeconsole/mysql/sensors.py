"""Reads sensors of running statements and kills them, over the control connection."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import structs

from safeconsole.cluster.engine import Sensor
from safeconsole.errors import UnreachableError
from safeconsole.mysql.control import ANSWER_SECONDS, Control, Line
from safeconsole.mysql.error_codes import code_of, is_lost
from safeconsole.mysql.measuring import numbers_of
from safeconsole.mysql.wire import DriverError, ServerReply, Wire
from safeconsole.patterns import late
from safeconsole.policy.watchdog import MISSING_READINGS, Sample, SensorName, unseen
from safeconsole.sqltext.dialect import Dialect, Probe

Found = TypeVar("Found")

_INSTANCE_MEMORY = ("INSTANCE_MEMORY", "MEMORY_USED")


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """One set of sensor readings; None where a sensor has none. Units as in `watchdog.Sample`."""

    session_memory_bytes: int | None = None
    instance_memory_bytes: int | None = None
    free_memory_bytes: int | None = None
    opened_tables: int | None = None
    threads_running: int | None = None


_OF_A_SESSION = "SESSION_MEMORY"


class Sensors(msgspec.Struct):
    """The sensors of one node; one that the account may not read is skipped until the next retry.

    Attributes:
        free_memory: a source for the host's free memory, or None.
        missing: what to grant for the sensors that dropped out.
    """

    free_memory: Sensor | None = None
    missing: list[str] = msgspec.field(default_factory=list)
    _probes: tuple[Probe, ...] | None = None

    def read(self, wire: Wire, dialect: Dialect, threads: Sequence[int]) -> dict[int, Numbers]:
        """Read all sensors in one round trip, for several watched connections at once.

        Args:
            threads: their ids on the server, at least one.

        Raises:
            DriverError, OSError: the connection is lost.
        """
        try:
            read = self._ask(wire, dialect, threads)
        except DriverError as error:
            if is_lost(error):
                raise
            # What worked is refused now, so a grant was taken away: the other sensors must not fall silent with it.
            self.try_all_again()
            read = self._ask(wire, dialect, threads)
        return self._numbers(read, threads)

    def learn(self, dialect: Dialect, threads: Sequence[int], replies: Sequence[ServerReply]) -> dict[int, Numbers]:
        """Take the answers to `all_probes`."""
        return self._numbers(self._tried(dialect, replies), threads)

    def _numbers(self, read: Mapping[str, int], threads: Sequence[int]) -> dict[int, Numbers]:
        free = self.free_memory.read() if self.free_memory else None
        return {
            thread: Numbers(
                session_memory_bytes=read.get(f"{_OF_A_SESSION} {thread}"),
                instance_memory_bytes=next((read[name] for name in _INSTANCE_MEMORY if name in read), None),
                free_memory_bytes=free,
                opened_tables=read.get("OPENED_TABLE_DEFINITIONS"),
                threads_running=read.get("THREADS_RUNNING"),
            )
            for thread in threads
        }

    def try_all_again(self) -> None:
        self._probes = None
        self.missing.clear()

    def _ask(self, wire: Wire, dialect: Dialect, threads: Sequence[int]) -> dict[str, int]:
        listed = ", ".join(map(str, threads))
        if self._probes is None:
            return self._try_all(wire, dialect, listed)
        if not self._probes:
            return {}
        text = " UNION ALL ".join(f"({probe.sql})" for probe in self._probes).format(threads=listed)
        return numbers_of(wire.rows(text))

    def _try_all(self, wire: Wire, dialect: Dialect, listed: str) -> dict[str, int]:
        return self._tried(dialect, wire.flight(*all_probes(dialect, listed)))

    def _tried(self, dialect: Dialect, replies: Sequence[ServerReply]) -> dict[str, int]:
        tried = tuple(zip(dialect.server.probes, replies, strict=True))
        self._probes = tuple(probe for probe, reply in tried if reply.error is None)
        self.missing[:] = [probe.needs for probe, reply in tried if reply.error is not None]
        return numbers_of(row for reply in replies for row in reply.rows)


def all_probes(dialect: Dialect, listed: str) -> tuple[str, ...]:
    return tuple(probe.sql.format(threads=listed) for probe in dialect.server.probes)


# What is seen of one watched connection, and how it is ended, over the control connection of its node.

_NO_SUCH_THREAD = 1094
# Source: MySQL 9.7 and MariaDB 10.11, sql/mdl.cc: "Waiting for table metadata lock", "Waiting for global read lock".
_WAITS_FOR_A_LOCK = late(r"Waiting for (?:the )?(.+ lock|table flush)", re.IGNORECASE)
_IDLE, _KILLED = "Sleep", "Killed"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The connection that is watched.

    Attributes:
        thread: its id on the server.
        host: its end as the server's process list names it; another session with the same id differs.
        server: the identity of its server: another one has threads of the same number.
        cut: ends the connection from here, for when the server cannot be told.
    """

    thread: int
    host: str
    server: str
    cut: Callable[[], None]


_Rows = list[tuple[str | None, ...]]


class _Seen(NamedTuple):
    host: str
    at_work: bool
    state: str


class Lookout:
    """Finds one connection in the process list, and kills it or its statement; thread-safe.

    Raises:
        UnreachableError: from every look, when the control connection is gone and does not come back.
    """

    def __init__(self, control: Control, dialect: Dialect, target: Target) -> None:
        self.target = target
        self.dialect = dialect
        self._control = control
        self._process = dialect.server.process[0]

    def is_at_work(self) -> bool:
        """Whether the watched connection runs a statement; false when it is idle, gone, or another client's."""
        return self.state_at_work() is not None

    def state_at_work(self) -> str | None:
        """Return the state of the watched connection's statement in the process list; None if it runs nothing."""
        ours = (seen for seen in self._seen() if _port(seen.host) == _port(self.target.host) and seen.at_work)
        return next((seen.state for seen in ours), None)

    def find_host(self) -> str:
        """Return the client address of the watched connection in the process list, or "".

        The first form that shows it is the one that every later look asks.
        """
        for form in self.dialect.server.process:
            for seen in self._seen(form):
                self._process = form
                self.target = structs.replace(self.target, host=seen.host)
                return seen.host
        return ""

    @property
    def process_question(self) -> str:
        return self._process.format(thread=self.target.thread)

    def finds_in(self, reply: ServerReply) -> bool:
        """Take the client address from an answer to `process_question`; False where it does not show the connection."""
        for seen in self._seen_in(reply.rows):
            self.target = structs.replace(self.target, host=seen.host)
            return True
        return False

    def kill_query(self) -> bool:
        """Kill its statement; return whether the server accepted."""
        return self._first_accepted(self.dialect.server.kill_query)

    def kill_connection(self) -> bool:
        """Kill the connection; return whether the server accepted."""
        return self._first_accepted(self.dialect.server.kill_connection)

    def look(self, look: Callable[[Wire], Found]) -> Found:
        """Run a query over the control connection, reopened if it is gone."""
        try:
            return self._control.ask(
                lambda line: look(line.wire), within_seconds=ANSWER_SECONDS, server=self.target.server, insists=True
            )
        except (DriverError, OSError, ValueError):
            raise UnreachableError("the control connection does not answer") from None

    def _seen(self, form: str = "") -> list[_Seen]:
        """Return the process list's row of the watched thread, or none.

        Args:
            form: one that is tried; a server that does not know it shows nothing.
        """
        text = (form or self._process).format(thread=self.target.thread)

        def asked(wire: Wire) -> _Rows:
            try:
                return wire.texts(text)
            except DriverError as error:
                if not form or is_lost(error):
                    raise
                return []

        return self._seen_in(self.look(asked))

    def _seen_in(self, rows: _Rows) -> list[_Seen]:
        rows = [row for row in rows if row[0] == str(self.target.thread)]
        return [_Seen(host=str(row[2]), at_work=self._runs(row), state=str(row[6] or "")) for row in rows]

    def _runs(self, row: tuple[str | None, ...]) -> bool:
        if row[4] == _KILLED and self.dialect.server.calls_idle_killed:
            # A kill that came right after the end stays with the idle thread: what it runs, or does, tells.
            return bool(row[6] or row[7])
        return bool(row[4] != _IDLE)

    def _first_accepted(self, forms: tuple[str, ...]) -> bool:
        for form in forms:
            text = form.format(thread=self.target.thread)
            try:
                # Not repeated where its answer is lost: the next look sees what is left to do.
                self._control.ask(
                    lambda line, text=text: line.wire.run(text),  # type: ignore[misc]
                    within_seconds=ANSWER_SECONDS,
                    server=self.target.server,
                )
            except (DriverError, OSError, ValueError) as error:
                if code_of(error) == _NO_SUCH_THREAD or is_lost(error):
                    return False
                continue
            return True
        return False


def lock_waited_for(state: str) -> str:
    """Return the lock that a state of the process list waits for, or ""."""
    found = _WAITS_FOR_A_LOCK.fullmatch(state)
    return found[1] if found else ""


def _port(host: str) -> str:
    return str(host).rpartition(":")[2] if ":" in str(host) else ""


def sample_of(numbers: Numbers, *, elapsed: float, rows: int) -> Sample:
    """Return sensor readings as a sample of a statement, `elapsed` seconds after its send."""
    return Sample(
        elapsed_seconds=elapsed,
        session_memory_bytes=numbers.session_memory_bytes,
        instance_memory_bytes=numbers.instance_memory_bytes,
        free_memory_bytes=numbers.free_memory_bytes,
        opened_tables=numbers.opened_tables,
        threads_running=numbers.threads_running,
        rows=rows,
    )


BASELINE_SECONDS = 5.0
"""How old the look may be that growth is counted from."""

BETWEEN_LOOKS_SECONDS = 0.2


_SHARE_WAITED = 0.5
"""How much of the time that a control connection took to open is waited for the login that it is to look for."""


class FirstLook:
    """Finds a new connection in the process list and reads the node's sensors, in one round trip.

    It asks in the flight that opens the control connection where that is not open yet: so it begins before the login
    of the connection that it looks for, which is opened beside.
    """

    def __init__(self, control: Control, eye: Eye) -> None:
        self._control = control
        self._eye = eye
        self._began = time.monotonic()
        self._lookout: Lookout | None = None
        self._logged_in, self._turn = threading.Event(), threading.Event()
        self._seen_on = ""
        self._error: BaseException | None = None

    def start(self, server: str) -> None:
        """Look in a thread of its own, on the server that has to be there."""
        looking = partial(self._look, server)
        threading.Thread(target=looking, daemon=True, name="safeconsole-first-look").start()

    # For the thread that opens the connection.

    def logged_in(self, wire: Wire, dialect: Dialect) -> None:
        target = Target(thread=wire.thread, host="", server="", cut=wire.cut)
        self._lookout = Lookout(self._control, dialect, target)
        self._logged_in.set()

    def give_up(self) -> None:
        """Nobody logs in any more; never raises."""
        self._lookout = None
        self._logged_in.set()

    def awaited(self, server: str) -> Lookout | None:
        """Return the lookout of a connection that the process list shows, None where it does not.

        Args:
            server: the identity at the end of that connection, and of the control connection.

        Raises:
            UnreachableError, ConfigurationError: the process list cannot be seen.
        """
        self._turn.wait()
        if self._error is not None:
            raise self._error
        lookout = self._lookout
        if lookout is None:
            return None
        lookout.target = structs.replace(lookout.target, server=server)
        return lookout if self._seen_on == server or lookout.find_host() else None

    # For the thread that has the control connection.

    def questions(self, dialect: Dialect) -> tuple[str, ...]:
        """What is asked with the guards of the control connection; nothing where the login takes longer than that."""
        if not self._logged_in.wait((time.monotonic() - self._began) * _SHARE_WAITED):
            return ()
        return self._texts() if self._lookout is not None and self._lookout.dialect is dialect else ()

    def answered(self, line: Line, replies: Sequence[ServerReply]) -> None:
        """Take the answers to `questions`, nothing where they were not asked."""
        if replies and self._lookout is not None and self._lookout.finds_in(replies[0]):
            self._eye.learn(self._lookout, replies[1:])
            self._seen_on = line.session.server

    def may_look(self) -> None:
        """The control connection is free: whoever was not seen yet may be looked for over it."""
        self._turn.set()

    def _look(self, server: str) -> None:
        try:
            if not self._control.is_open:
                opened = partial(self._control.ask, first=self.questions)
                opened(lambda line: self.answered(line, line.first), within_seconds=ANSWER_SECONDS, server=server)
            # Nobody's answer is kept waiting for a login: the control connection is free meanwhile.
            self._logged_in.wait()
            if not self._seen_on and self._lookout is not None:
                self._control.ask(self._asked, within_seconds=ANSWER_SECONDS, server=server, insists=True)
        except (DriverError, OSError, ValueError):
            self._error = UnreachableError("the control connection does not answer")
        except BaseException as error:  # noqa: BLE001 (raised in the thread that opens the connection)
            self._error = error
        finally:
            self.may_look()

    def _asked(self, line: Line) -> None:
        if self._lookout is not None:
            self.answered(line, line.wire.flight(*self._texts()))

    def _texts(self) -> tuple[str, ...]:
        lookout = self._lookout
        return () if lookout is None else (lookout.process_question, *self._eye.questions(lookout))


class Eye:
    """Reads the sensors of one node for all watched connections, and keeps the baseline for growth."""

    def __init__(self, control: Control, *, free_memory: Sensor | None = None) -> None:
        self._control = control
        self._sensors = Sensors(free_memory=free_memory)
        self._latest: Numbers | None = None
        self._taken_seconds = 0.0
        # Held while somebody looks, so that who comes meanwhile uses what they see.
        self._first = threading.Lock()

    @property
    def has_looked(self) -> bool:
        """Whether the latest reading is recent enough as a baseline."""
        return self._latest is not None and time.monotonic() - self._taken_seconds < BASELINE_SECONDS

    def look(
        self, threads: Sequence[int], *, server: str, within_seconds: float = ANSWER_SECONDS
    ) -> dict[int, Numbers]:
        """Read the sensors; one that does not answer in time has no reading this time.

        Raises:
            UnreachableError: the control connection is gone and does not come back.
        """
        try:
            found = self._control.ask(
                lambda line: self._sensors.read(line.wire, line.dialect, threads),
                within_seconds=within_seconds,
                server=server,
            )
        except (DriverError, OSError, ValueError):
            # Who cannot be asked at all is told from who was late once.
            self._control.open_again(server=server)
            return dict.fromkeys(threads, Numbers())
        self._latest, self._taken_seconds = next(iter(found.values())), time.monotonic()
        return found

    def questions(self, lookout: Lookout) -> tuple[str, ...]:
        """What a first look asks; nothing where a source beside the server is asked with it."""
        if self._sensors.free_memory is not None:
            return ()
        return all_probes(lookout.dialect, str(lookout.target.thread))

    def learn(self, lookout: Lookout, replies: Sequence[ServerReply]) -> None:
        """Take the answers to `questions`."""
        if replies:
            found = self._sensors.learn(lookout.dialect, (lookout.target.thread,), replies)
            self._latest, self._taken_seconds = found[lookout.target.thread], time.monotonic()

    def open_again(self, lookout: Lookout) -> None:
        """Open the control connection, and read the sensors in its flight. Raises as `Control.ask`."""
        self._control.ask(
            lambda line: self.learn(lookout, line.first),
            within_seconds=ANSWER_SECONDS,
            server=lookout.target.server,
            first=lambda dialect: self.questions(lookout) if dialect is lookout.dialect else (),
        )

    def baseline(self, target: Target, needed: tuple[SensorName, ...], *, fresh: bool) -> Numbers:
        """Return a recent reading in which every needed sensor had a value.

        Args:
            fresh: look anew in any case.

        Raises:
            UnreachableError: a needed sensor told nothing, as often as it may while a statement runs, or the connection
                is gone and does not come back.
        """
        if fresh:
            return self._seen_by(target, needed)
        latest = self._recent()
        if latest is None:
            with self._first:
                latest = self._recent() or self._look_at(target)
        if not _blind(needed, latest):
            return latest
        # A grant that was given since counts at once.
        self._sensors.try_all_again()
        return self._seen_by(target, needed)

    def _recent(self) -> Numbers | None:
        return self._latest if time.monotonic() - self._taken_seconds < BASELINE_SECONDS else None

    def _seen_by(self, target: Target, needed: tuple[SensorName, ...]) -> Numbers:
        numbers = self._look_at(target)
        for _ in range(MISSING_READINGS - 1):
            if not _blind(needed, numbers):
                break
            time.sleep(BETWEEN_LOOKS_SECONDS)
            numbers = self._look_at(target)
        blind = _blind(needed, numbers)
        if blind:
            raise self._refusal(blind)
        return numbers

    def _look_at(self, target: Target) -> Numbers:
        (numbers,) = self.look((target.thread,), server=target.server).values()
        if numbers == Numbers():
            # Its connection was gone and is new; growth needs a number to count from.
            (numbers,) = self.look((target.thread,), server=target.server).values()
        return numbers

    def _refusal(self, blind: tuple[SensorName, ...]) -> UnreachableError:
        grants = tuple(dict.fromkeys(needs for needs in self._sensors.missing if needs))
        return UnreachableError(
            f"{', '.join(blind)} cannot be read here, and the policy needs it for this statement; nothing was sent",
            evidence=tuple(f"refused to this account: {needs}" for needs in grants),
            instead="try another node" + (", or have that granted" if grants else ", or look at the sensor's source"),
        )


def _blind(needed: tuple[SensorName, ...], numbers: Numbers) -> tuple[SensorName, ...]:
    return unseen(needed, sample_of(numbers, elapsed=0.0, rows=0))
