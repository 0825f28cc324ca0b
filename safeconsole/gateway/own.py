"""Answers that the gateway gives itself: elevations, confirmations, its tables, its connections."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import msgspec

from safeconsole.errors import ConfigurationError, RefusedError, SafeConsoleError
from safeconsole.gateway.answering import OwnRows
from safeconsole.gateway.client import ClientConnection
from safeconsole.gateway.procedures import SCHEMA, OwnCall, Procedure, Question, carried_out
from safeconsole.gateway.refusals import ErrorReply, ToldError
from safeconsole.gateway.selecting import Selection
from safeconsole.gateway.tables import BIGINT, OWN_TABLES, VARCHAR, Tables, answer, pairs, status_rows, why_rows
from safeconsole.policy.limits import LIMIT_NAMES
from safeconsole.session.context import Justification

if TYPE_CHECKING:
    # SQLAlchemy is slow to import, and most gateways are alone.
    from safeconsole.gateway.peers import PeerRequest, Peers

_INFO_CHARACTERS = 100
_PROCESS_COLUMNS = {
    "Id": BIGINT, "User": VARCHAR, "Host": VARCHAR, "db": VARCHAR, "Command": VARCHAR, "Time": BIGINT,
    "State": VARCHAR, "Info": VARCHAR,
}  # fmt: skip


class Clients(Protocol):
    """The connections of a gateway, and the other processes that have some."""

    @property
    def peers(self) -> Peers | None: ...

    def of(self, person: str) -> Sequence[ClientConnection]: ...


class OwnAnswers:
    """Answers questions about the client connection, and runs the gateway's procedures.

    Args:
        tables: further tables of the schema `safeconsole`, by name.
    """

    def __init__(self, clients: Clients, tables: Tables) -> None:
        self._clients = clients
        self._tables: Tables = {**OWN_TABLES, **tables}

    def ask(self, client: ClientConnection, question: Question | Selection) -> OwnRows | str | None:
        if isinstance(question, Selection):
            return answer(client, question, self._tables)
        match question.about:
            case "warnings":
                return _warnings(client, question)
            case "processlist":
                return self._processes(client)
            case "isolation":
                return _isolation(client, question)
            case "kill":
                return self._kill(client, question)
            case _:
                return _number(client, question)

    def carry(self, client: ClientConnection, call: OwnCall) -> OwnRows | str:
        client.session.note("command", f"CALL {SCHEMA}.{call.name}")
        return carried_out(
            call,
            {
                "elevate": Procedure(least=1, most=3, act=lambda words: _elevate(client, words)),
                "stand_down": Procedure(least=0, most=0, act=lambda _: _stand_down(client)),
                "confirm": Procedure(least=0, most=0, act=lambda _: _confirm(client)),
                "why": Procedure(least=0, most=0, act=lambda _: pairs(why_rows(client))),
                "status": Procedure(least=0, most=0, act=lambda _: pairs(status_rows(client))),
                "tighten": Procedure(least=2, most=2, act=lambda words: _tighten(client, words)),
                "use": Procedure(least=0, most=1, act=lambda words: _use(client, words)),
            },
        )

    def respond(self, request: PeerRequest) -> str:
        """Carry out what another process asks for a person who logged in there."""
        if request.about == "list":
            now = time.monotonic()
            rows = [_process(each, now, recorded=True) for each in self._clients.of(request.person)]
            return msgspec.json.encode(rows).decode()
        return self._killed(request.person, request.connection, query=request.about == "query")

    def _processes(self, client: ClientConnection) -> OwnRows:
        now, person = time.monotonic(), client.arrival.person.name
        rows = [_process(each, now) for each in self._clients.of(person)]
        return OwnRows(columns=_PROCESS_COLUMNS, rows=(*rows, *self._processes_elsewhere(person)))

    def _processes_elsewhere(self, person: str) -> Iterable[tuple[object, ...]]:
        peers = self._clients.peers
        if peers is None:
            return
        try:
            answers = peers.lists(person)
        except ConfigurationError as failure:
            yield 0, person, "other gateways", None, "Unknown", 0, f"not shown: {failure.message}", None
            return
        for number, said in answers.items():
            if said in _UNANSWERED:
                # A list that lacks some says so where it is read.
                yield 0, person, f"gateway process {number}", None, "Unknown", 0, "not shown: it does not answer", None
            else:
                yield from msgspec.json.decode(said, type=list[tuple[object, ...]])

    def _kill(self, client: ClientConnection, question: Question) -> str:
        wanted, query = int(question.words["id"]), question.words.get("what", "").lower() == "query"
        person, peers = client.arrival.person.name, self._clients.peers
        client.session.note("command", f"KILL {'QUERY ' if query else ''}{wanted}")
        if query and wanted == client.id:
            return ""
        fate = self._killed(person, wanted, query=query)
        if fate == "unknown" and peers is not None and peers.has(wanted):
            fate = peers.kill(person, wanted, query=query)
        match fate:
            case "killed" | "already over":
                return ""
            case "unknown":
                raise ToldError(ErrorReply(number=1094, state="HY000", message=f"Unknown thread id: {wanted}"))
            case "not taken":
                message = f"not killed: the gateway of connection {wanted} does not answer; nothing was asked of it"
                raise ToldError(ErrorReply(number=1105, state="HY000", message=message))
            case _:
                return "asked; not seen to stop: SHOW PROCESSLIST says whether it goes on"

    def _killed(self, person: str, wanted: int, *, query: bool) -> str:
        """Kill a connection of a person's here, or its statement; return what became of it, "unknown" for none."""
        found = next((each for each in self._clients.of(person) if each.id == wanted), None)
        if found is None:
            return "unknown"
        return found.interrupt() if query else found.end("killed")


_UNANSWERED = frozenset({"asked", "not taken"})


def _process(client: ClientConnection, now: float, *, recorded: bool = False) -> tuple[object, ...]:
    """Return a connection's row of SHOW PROCESSLIST.

    Args:
        recorded: with its text as journals hold it, since the row passes through a database.
    """
    at_work, doing = client.working_since, client.doing
    person = client.arrival.person
    if recorded and at_work and doing:
        with suppress(SafeConsoleError):
            doing = client.session.as_recorded(doing)
    return (
        client.id,
        person.name,
        person.origin or "localhost",
        client.session.context.schema or None,
        "Query" if at_work else "Sleep",
        int(now - (at_work or client.idle_since)),
        "executing" if at_work else "",
        doing[:_INFO_CHARACTERS] if at_work else None,
    )


def _warnings(client: ClientConnection, question: Question) -> OwnRows:
    notes = client.answering.notes
    if question.words["what"].lower() == "errors":
        notes = tuple(note for note in notes if note[0] == "Error")
    skip = int(question.words.get("skip", "0,").rstrip(", \t\n") or 0)
    most = int(question.words.get("most", len(notes)))
    return OwnRows(columns={"Level": VARCHAR, "Code": BIGINT, "Message": VARCHAR}, rows=notes[skip : skip + most])


def _isolation(client: ClientConnection, question: Question) -> OwnRows | None:
    """Answer what the client's transactions are begun with; None where that is the servers' own."""
    asked = client.statements.settings.isolation
    if asked is None:
        return None
    level, shown = asked.replace(" ", "-"), question.words.get("shown")
    if shown is not None:
        return OwnRows(columns={"Variable_name": VARCHAR, "Value": VARCHAR}, rows=((shown, level),))
    return OwnRows(columns={question.column: VARCHAR}, rows=((level,),))


def _number(client: ClientConnection, question: Question) -> OwnRows | None:
    """Answer a question about this connection's state."""
    statements, notes = client.statements, client.answering.notes
    counted = question.words.get("what", question.words.get("counted", "")).lower()
    noted = [note for note in notes if note[0] == "Error" or not counted.startswith("error")]
    number = {
        "warning_count": lambda: len(noted),
        "connection_id": lambda: client.id,
        "last_insert_id": lambda: statements.last_inserted,
        "row_count": lambda: statements.last_done.affected,
        "autocommit": lambda: int(statements.settings.autocommit),
    }[question.about]()  # fmt: skip
    name = question.column or f"@@session.{counted.rstrip('s')}_count"
    return OwnRows(columns={name: BIGINT}, rows=((number,),))


def _elevate(client: ClientConnection, words: Sequence[str]) -> str:
    reason, ticket, cluster = (*words, "", "")[:3]
    session, statements = client.session, client.statements
    if not reason.strip():
        raise RefusedError("an elevation needs a reason", instead=f"CALL {SCHEMA}.elevate('reason', 'ticket')")
    if cluster not in {"", session.context.cluster}:
        raise RefusedError(f"not elevated: this connection is to {session.context.cluster}, and {cluster} was named")
    if session.needs_a_person:
        # A program opens no window: each of its statements is put before a person, with this reason.
        statements.justification = Justification(reason=reason, ticket=ticket)
        return "a person is asked for each statement that needs it: send one, and its refusal carries a code"
    grant = session.elevate(reason=reason, ticket=ticket)
    left = max(grant.ends_seconds - grant.granted_seconds, 0)
    return f"elevated on {session.context.cluster} for {left / 60:.0f} minutes; CALL {SCHEMA}.stand_down() ends it"


def _stand_down(client: ClientConnection) -> str:
    client.statements.justification = None
    client.session.stand_down()
    return "; ".join(client.session.take_told()) or "not elevated any more"


def _confirm(client: ClientConnection) -> str:
    text = client.statements.last_text
    if not text:
        raise RefusedError("there is nothing to confirm", instead="send the statement first: its refusal says why")
    client.confirming.agreed = text
    return "confirmed, once: send the same statement again"


def _tighten(client: ClientConnection, words: Sequence[str]) -> str:
    name, said = words
    if name not in LIMIT_NAMES:
        raise ConfigurationError(f"there is no limit {name}", instead=f"there are: {', '.join(sorted(LIMIT_NAMES))}")
    try:
        value = float(said)
    except ValueError:
        raise ConfigurationError(f"{said!r} is no number") from None
    client.session.tighten(name, value)
    return f"{name} is {value:,.15g} for this connection"


def _use(client: ClientConnection, words: Sequence[str]) -> str:
    to = words[0] if words else ""
    client.session.use(to)
    return f"statements go to {to}" if to else "statements go where the road chooses"
