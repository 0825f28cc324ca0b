"""Answers that the gateway gives itself: elevations, confirmations, its tables, its connections."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from safeconsole.errors import ConfigurationError, RefusedError
from safeconsole.gateway.answering import OwnRows
from safeconsole.gateway.client import ClientConnection
from safeconsole.gateway.procedures import SCHEMA, OwnCall, Procedure, Question, carried_out
from safeconsole.gateway.refusals import ErrorReply, ToldError
from safeconsole.gateway.selecting import Selection
from safeconsole.gateway.tables import BIGINT, OWN_TABLES, VARCHAR, Tables, answer, pairs, status_rows, why_rows
from safeconsole.policy.limits import LIMIT_NAMES
from safeconsole.session.context import Justification

_INFO_CHARACTERS = 100
_PROCESS_COLUMNS = {
    "Id": BIGINT, "User": VARCHAR, "Host": VARCHAR, "db": VARCHAR, "Command": VARCHAR, "Time": BIGINT,
    "State": VARCHAR, "Info": VARCHAR,
}  # fmt: skip


class Clients(Protocol):
    """The connections of a gateway."""

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

    def _processes(self, client: ClientConnection) -> OwnRows:
        now = time.monotonic()
        return OwnRows(
            columns=_PROCESS_COLUMNS,
            rows=tuple(_process(each, now) for each in self._clients.of(client.arrival.person.name)),
        )

    def _kill(self, client: ClientConnection, question: Question) -> OwnRows | str:
        wanted, query = int(question.words["id"]), question.words.get("what", "").lower() == "query"
        found = next((each for each in self._clients.of(client.arrival.person.name) if each.id == wanted), None)
        client.session.note("command", f"KILL {'QUERY ' if query else ''}{wanted}")
        if found is None:
            raise ToldError(ErrorReply(number=1094, state="HY000", message=f"Unknown thread id: {wanted}"))
        if query:
            if found is not client:
                found.interrupt()
        else:
            found.end("killed")
        return ""


def _process(client: ClientConnection, now: float) -> tuple[object, ...]:
    at_work = client.working_since
    person = client.arrival.person
    return (
        client.id,
        person.name,
        person.origin or "localhost",
        client.session.context.schema or None,
        "Query" if at_work else "Sleep",
        int(now - (at_work or client.idle_since)),
        "executing" if at_work else "",
        client.doing[:_INFO_CHARACTERS] if at_work else None,
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
