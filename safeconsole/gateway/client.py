"""One client connection: its commands, one after the other, on a thread of its own.

Only this thread uses the client's socket and sends statements through the gate. Others may stop what runs
(`interrupt`), or end the connection (`end`), which wakes this thread up.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from safeconsole.approvals.requests import ApprovalRequest
from safeconsole.errors import SafeConsoleError
from safeconsole.gateway.absorbing import ClientSettings
from safeconsole.gateway.answering import Answering, OwnRows
from safeconsole.gateway.login import Arrival
from safeconsole.gateway.metrics import Counts
from safeconsole.gateway.packets import (
    Capability,
    ClientChannel,
    Fields,
    GoneError,
    MalformedError,
    TooLargeError,
    column,
    end_marker,
    ok,
)
from safeconsole.gateway.prepared import (
    MOST_PLACES,
    MOST_STATEMENTS,
    Preparation,
    add_long_data,
    filled,
    preparation_of,
    read_execution,
    read_long_data,
    statement_number,
)
from safeconsole.gateway.procedures import OwnCall, Question
from safeconsole.gateway.refusals import ErrorReply, ToldError, told_of
from safeconsole.gateway.selecting import Selection
from safeconsole.gateway.statements import Statements
from safeconsole.gateway.texts import charset_of, name_of, text_of
from safeconsole.policy.decision import Assessment, ElevationRequest
from safeconsole.session.session import Session
from safeconsole.sqltext.lexer import LexicalRules

LARGEST_COMMAND_BYTES = 64 * 1024 * 1024
STALL_SECONDS = 60.0
"""How long a client may take to send the rest of a command, or to read what it was sent."""

REST_SECONDS = 2.0
"""How long a client is idle before it lets go of its connections to the nodes."""

FIELDS_HELD_SECONDS, FIELDS_ASKED_SECONDS = 10.0, 1.0
"""How long names of columns are believed, and where a table is not among them."""

_UNKNOWN_COMMAND = ErrorReply(number=1047, state="08S01", message="this command is not taken here")
_TOO_LARGE = ErrorReply(
    number=1153,
    state="08S01",
    message=f"Got a packet bigger than 'max_allowed_packet' bytes: {LARGEST_COMMAND_BYTES:,} are taken here",
)
_DRAINING = ErrorReply(number=1053, state="08S01", message="the gateway is going down: connect again")
_TOO_OLD = ErrorReply(number=1045, state="28000", message="the token is revoked or over: connect with a new one")


class GatewaySession(msgspec.Struct, frozen=True, kw_only=True):
    """An open session, as the gateway uses it.

    Attributes:
        rules: how the cluster's servers read text; asks them on the first call.
    """

    session: Session
    rules: Callable[[], LexicalRules]


class AskedBeforehand:
    """Answers the gate's questions from a call that the client made in advance; a client is never asked interactively.

    Attributes:
        agreed: the text that was confirmed, once.
    """

    def __init__(self) -> None:
        self.agreed = ""

    def confirm(self, considered: Assessment) -> bool:
        agreed, self.agreed = self.agreed, ""
        return bool(agreed) and agreed == considered.statement.text

    def elevate(self, request: ElevationRequest, considered: Assessment | None) -> bool:  # noqa: ARG002 (the protocol's)
        """Return True: the call named reason and cluster, and an agent's request waits for a person elsewhere."""
        return True

    def show_approval(self, code: str, request: ApprovalRequest) -> None:
        """Do nothing: the refusal carries the code."""

    def paste_approval(self, code: str, request: ApprovalRequest) -> str:  # noqa: ARG002
        return ""

    def skip_approval(self, request: ApprovalRequest, skipped: tuple[str, ...]) -> bool:  # noqa: ARG002
        return False


class House(Protocol):
    """The gateway, as its client connections use it."""

    @property
    def counts(self) -> Counts: ...

    @property
    def is_draining(self) -> bool: ...

    @property
    def wake(self) -> int:
        """A descriptor that is readable once the gateway drains."""
        ...

    def may_stay(self, arrival: Arrival) -> bool:
        """Whether the credential of a login is still valid."""
        ...

    def uptime_seconds(self) -> float: ...

    def ask(self, client: ClientConnection, question: Question | Selection) -> OwnRows | str | None: ...

    def carry(self, client: ClientConnection, call: OwnCall) -> OwnRows | str: ...


class ClientConnection:
    """One client that logged in.

    Attributes:
        id: its number, which is the greeting's, CONNECTION_ID()'s and KILL's.
        working_since: the monotonic time at which its command began, 0 while it is idle.
    """

    def __init__(  # noqa: PLR0913 (what a client is made of, each named)
        self, house: House, channel: ClientChannel, connection_id: int, arrival: Arrival, opened: GatewaySession, *,
        confirming: AskedBeforehand, time_limit: int, idle_seconds: float, sql_mode: frozenset[str],
    ) -> None:  # fmt: skip
        request = arrival.request
        self.id = connection_id
        self.arrival = arrival
        self.channel = channel
        self.session = opened.session
        self.confirming = confirming
        self.working_since = 0.0
        self.idle_since = time.monotonic()
        self.doing = ""
        self._house = house
        self._opened = opened
        self._idle_seconds = idle_seconds
        self._time_limit = time_limit
        self._prepared: dict[int, Preparation] = {}
        self._numbers = 0
        self._ending = ""
        self._columns: tuple[float, str, Mapping[str, Sequence[str]]] = (0.0, "", {})
        self.answering = Answering(
            channel,
            counts_found=bool(request.capabilities & Capability.FOUND_ROWS),
            takes_sets=bool(request.capabilities & Capability.MULTI_RESULTS),
        )
        self.statements = Statements(
            opened.session,
            opened.rules,
            self.answering,
            ask=lambda question: house.ask(self, question),
            carry=lambda call: house.carry(self, call),
            count=house.counts.answered,
            time_limit=time_limit,
            several=bool(request.capabilities & Capability.MULTI_STATEMENTS),
            settings=ClientSettings(charset=charset_of(request.character_set), own_modes=sql_mode),
        )

    # For its own thread.

    def rules(self) -> LexicalRules:
        """How the cluster's servers read text."""
        return self._opened.rules()

    def serve(self) -> None:
        """Answer commands until the client leaves, is ended, or the gateway drains."""
        with suppress(GoneError):
            while self._wait():
                try:
                    payload = self.channel.read_command(LARGEST_COMMAND_BYTES)
                except TooLargeError:
                    self.statements.fail(_TOO_LARGE)
                    continue
                self.working_since = time.monotonic()
                try:
                    if not self._answer(payload):
                        return
                finally:
                    self.idle_since, self.working_since, self.doing = time.monotonic(), 0.0, ""

    def _wait(self) -> bool:
        """Wait for a command; return whether one comes."""
        if not self.channel.has_begun:
            waiting = select.poll()
            waiting.register(self.channel.fileno(), select.POLLIN)
            waiting.register(self._house.wake, select.POLLIN | select.POLLHUP)
            if not waiting.poll(REST_SECONDS * 1000):
                self.statements.rest()
                if not waiting.poll(self._idle_seconds * 1000):
                    return False
        if self._house.is_draining:
            self._part(_DRAINING)
            return False
        if self._ending:
            return False
        if not self._house.may_stay(self.arrival):
            self._part(_TOO_OLD)
            return False
        return True

    def _part(self, told: ErrorReply) -> None:
        self.channel.sequence = 0
        self.answering.error(told)

    def _answer(self, payload: bytes) -> bool:
        """Answer one command; return whether the client stays."""
        if not payload:
            raise MalformedError("a command without a byte")
        command, body = payload[0], payload[1:]
        if command == _QUIT:
            return False
        act = _COMMANDS.get(command)
        if act is None:
            return self._refuse_command(command)
        try:
            act(self, body)
        except SafeConsoleError as error:
            self.statements.fail(told_of(error, time_limit=self._time_limit))
        except ToldError as error:
            self.statements.fail(error.told)
        return not self._ending

    def _refuse_command(self, command: int) -> bool:
        self.session.note("command refused", f"number {command} of the protocol")
        self.answering.error(_UNKNOWN_COMMAND)
        # A program that tries what no application does is not asked what else it would try.
        return not (self.arrival.person.agent and command in _SERIOUS) and command != _CHANGE_USER

    def _text_of(self, body: bytes) -> str:
        return text_of(body, self.statements.settings.charset, self.rules())

    # Commands.

    def query(self, body: bytes) -> None:
        self.doing = text = self._text_of(body)
        self.statements.run(text)

    def ping(self, body: bytes) -> None:  # noqa: ARG002 (as every command)
        self._ok()

    def choose_schema(self, body: bytes) -> None:
        name = name_of(body, self.statements.settings.charset).replace("`", "``")
        self.statements.run(f"USE `{name}`")

    def list_fields(self, body: bytes) -> None:
        """Name the columns of a table, for clients that complete names: they ask for each table of a schema."""
        table = name_of(body.partition(b"\0")[0], self.statements.settings.charset)
        schema = self.session.status().schema
        names = self._columns_of(schema, FIELDS_HELD_SECONDS).get(table)
        if names is None:
            # It may have been made a moment ago, by whomever.
            names = self._columns_of(schema, FIELDS_ASKED_SECONDS).get(table)
        if names is None:
            told = ErrorReply(number=1146, state="42S02", message=f"Table '{schema}.{table}' doesn't exist")
            self.statements.fail(told)
            return
        self.channel.write(
            *(column(name, schema=schema, table=table) + b"\xfb" for name in names),
            end_marker(status=self.answering.status),
        )

    def _columns_of(self, schema: str, most_seconds: float) -> Mapping[str, Sequence[str]]:
        """Return the columns of a schema's tables, as they were read at most so long ago. Raises SafeConsoleError."""
        now, (read_seconds, of, found) = time.monotonic(), self._columns
        if of == schema and now - read_seconds < most_seconds and not self.statements.has_defined:
            return found
        quoted = schema.replace("\\", "\\\\").replace("'", "''")
        text = (
            "SELECT table_name, column_name FROM information_schema.columns"  # noqa: S608 (quoted above)
            f" WHERE table_schema = '{quoted}' ORDER BY table_name, ordinal_position"
        )
        read: dict[str, list[str]] = {}
        for name, field in self.session.execute(self.session.split(text)[0], by_console=True).take():
            read.setdefault(str(name), []).append(str(field))
        self.statements.has_defined, self._columns = False, (now, schema, read)
        return read

    def tell_statistics(self, body: bytes) -> None:  # noqa: ARG002
        self.channel.write(f"Uptime: {self._house.uptime_seconds():.0f}  Gateway: safeconsole".encode())

    def list_processes(self, body: bytes) -> None:  # noqa: ARG002
        self.statements.run("SHOW PROCESSLIST")

    def kill(self, body: bytes) -> None:
        self.statements.run(f"KILL {Fields(body).number(4)}")

    def set_option(self, body: bytes) -> None:
        self.statements.several = Fields(body).number(2) == 0
        self.channel.write(end_marker(status=self.answering.status))

    def reset(self, body: bytes) -> None:  # noqa: ARG002
        """Be as after the login: nothing open, prepared, set or elevated."""
        self.statements.end_transaction()
        self.session.stand_down()
        self.statements.forget()
        self._prepared.clear()
        self._ok()

    def prepare_statement(self, body: bytes) -> None:
        if len(self._prepared) >= MOST_STATEMENTS:
            self.statements.fail(
                ErrorReply(
                    number=1461, state="42000", message=f"more than {MOST_STATEMENTS} prepared statements: close some"
                )
            )
            return
        statement = preparation_of(self._text_of(body), self._opened.rules())
        if len(statement.places) > MOST_PLACES:
            text = f"a prepared statement has at most {MOST_PLACES} placeholders"
            self.statements.fail(ErrorReply(number=1390, state="HY000", message=text))
            return
        self._numbers += 1
        self._prepared[self._numbers] = statement
        places = len(statement.places)
        definitions = [column("?")] * places
        ends = [end_marker(status=self.answering.status)] if places else []
        # No columns are promised: their definitions come with the rows, as clients accept.
        head = b"\0" + self._numbers.to_bytes(4, "little") + bytes(2) + places.to_bytes(2, "little") + bytes(3)
        self.channel.write(head, *definitions, *ends)

    def execute_statement(self, body: bytes) -> None:
        number, values = read_execution(body)
        statement = self._prepared.get(number)
        if statement is None:
            self._no_such_statement(number)
            return
        text = filled(statement, values, self._opened.rules(), self.statements.settings.charset)
        self.doing = text
        self.statements.run(text, binary=True)

    def keep_long_data(self, body: bytes) -> None:
        number, place, data = read_long_data(body)
        statement = self._prepared.get(number)
        # It has no answer; what is too much is told at the execution, which then has no such statement.
        if statement is not None and not add_long_data(statement, place, data):
            del self._prepared[number]

    def close_statement(self, body: bytes) -> None:
        self._prepared.pop(statement_number(body), None)

    def reset_statement(self, body: bytes) -> None:
        number = statement_number(body)
        statement = self._prepared.get(number)
        if statement is None:
            self._no_such_statement(number)
            return
        statement.long_data = {}
        self._ok()

    def fetch(self, body: bytes) -> None:
        self._no_such_statement(statement_number(body))

    def _no_such_statement(self, number: int) -> None:
        self.statements.fail(
            ErrorReply(
                number=1243, state="HY000", message=f"no prepared statement {number}, or its values were too long"
            )
        )

    def _ok(self) -> None:
        self.channel.write(ok(status=self.answering.status))

    # For other threads.

    def interrupt(self) -> str:
        """Stop the running statement; the connection stays."""
        return self.session.interrupt() if self.working_since else "already over"

    def end(self, why: str) -> str:
        """End the connection and stop its statement; return what the process list says of that."""
        self._ending = why
        self.channel.shut()
        return self.session.stop() if self.working_since else "already over"


_QUIT, _CHANGE_USER = 0x01, 0x11
_SERIOUS = frozenset({0x05, 0x06, 0x08, 0x12, 0x14, 0x15, 0x1E, 0x20})
"""Databases made and dropped, a shutdown, and what replicas and clones send."""

_COMMANDS: Mapping[int, Callable[[ClientConnection, bytes], None]] = {
    0x02: ClientConnection.choose_schema,
    0x03: ClientConnection.query,
    0x04: ClientConnection.list_fields,
    0x09: ClientConnection.tell_statistics,
    0x0A: ClientConnection.list_processes,
    0x0C: ClientConnection.kill,
    0x0D: ClientConnection.ping,
    0x0E: ClientConnection.ping,
    0x16: ClientConnection.prepare_statement,
    0x17: ClientConnection.execute_statement,
    0x18: ClientConnection.keep_long_data,
    0x19: ClientConnection.close_statement,
    0x1A: ClientConnection.reset_statement,
    0x1B: ClientConnection.set_option,
    0x1C: ClientConnection.fetch,
    0x1F: ClientConnection.reset,
}
"""By the protocol's number. COM_DEBUG is answered as a ping is; what is not here is refused and recorded."""
