"""The schema `safeconsole` as clients read it: its tables, their rows and descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

import msgspec

from safeconsole.gateway.answering import OwnRows
from safeconsole.gateway.client import ClientConnection
from safeconsole.gateway.packets import ColumnKind
from safeconsole.gateway.procedures import SCHEMA
from safeconsole.gateway.refusals import ErrorReply, ToldError
from safeconsole.gateway.selecting import Columns, OwnRow, Selection, answered_columns, is_like, selected
from safeconsole.policy.limits import LIMIT_NAMES
from safeconsole.policy.policy import explanation_of

BIGINT, DOUBLE, VARCHAR = ColumnKind.BIGINT, ColumnKind.DOUBLE, ColumnKind.VARCHAR


class OwnTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table.

    Attributes:
        rows: for whoever asks, in the order of the columns.
    """

    columns: Columns
    rows: Callable[[ClientConnection], Iterable[OwnRow]]


Tables = Mapping[str, OwnTable]


def answer(client: ClientConnection, selection: Selection, tables: Tables) -> OwnRows:
    """Answer a query of the schema.

    Raises:
        ToldError: there is no such table or column, or it is more than a statement's limits allow.
        SafeConsoleError: what the table is made of could not be had.
    """
    if selection.about == "tables":
        names = [name for name in sorted(tables) if not selection.pattern or is_like(name, selection.pattern)]
        kinds = {"Table_type": VARCHAR} if selection.full else {}
        rows = [(name, *(("SYSTEM VIEW",) * selection.full)) for name in names]
        return OwnRows(columns={f"Tables_in_{SCHEMA}": VARCHAR, **kinds}, rows=rows)
    table = tables.get(selection.table)
    if table is None:
        message = f"Table '{SCHEMA}.{selection.table}' doesn't exist; there are: {', '.join(sorted(tables))}"
        raise ToldError(ErrorReply(number=1146, state="42S02", message=message))
    if selection.about == "columns":
        return _described(table.columns, selection)
    # Its columns are looked at before what it holds is read, which may take a while.
    selected(selection, table.columns, ())
    client.session.note("command", f"its own table {selection.table}")
    most = int(client.session.limits.fetched_rows)
    rows_found = list(islice(selected(selection, table.columns, table.rows(client)), most + 1))
    if len(rows_found) > most:
        message = f"more than {most:,} rows (limit fetched_rows): narrow it by WHERE or LIMIT"
        raise ToldError(ErrorReply(number=1226, state="42000", message=message))
    return OwnRows(columns=answered_columns(selection, table.columns), rows=rows_found)


def _described(columns: Columns, selection: Selection) -> OwnRows:
    said = ("Field", "Type", *(("Collation",) * selection.full), "Null", "Key", "Default", "Extra")
    more = ("Privileges", "Comment") * selection.full
    rows = [
        (
            *(name, _TYPES[kind]),
            *((None if kind is not VARCHAR else "utf8mb4_general_ci",) * selection.full),
            *("YES", "", None, ""),
            *(("select", "") * selection.full),
        )
        for name, kind in columns.items()
        if not selection.pattern or is_like(name, selection.pattern)
    ]
    return OwnRows(columns=dict.fromkeys((*said, *more), VARCHAR), rows=rows)


_TYPES = {BIGINT: "bigint", DOUBLE: "double", VARCHAR: "varchar(65535)"}
_PAIRS: Columns = {"what": VARCHAR, "value": VARCHAR}


def pairs(rows: Iterable[OwnRow]) -> OwnRows:
    return OwnRows(columns=_PAIRS, rows=tuple(rows))


def status_rows(client: ClientConnection) -> Iterator[OwnRow]:
    status, person = client.session.status(), client.arrival.person
    yield "cluster", status.cluster
    yield "environment", status.environment
    yield "person", f"{person.name}, by {client.arrival.how}"
    yield "program", person.agent or "none: a person elevates by themselves"
    yield "connection", str(client.id)
    yield "node", f"{status.node} ({status.role})" if status.node else "none yet"
    yield "schema", status.schema or "none"
    yield "goes to", status.to or "where the road chooses"
    yield "transaction", status.transaction.place if status.transaction else "none"
    yield "elevated", f"{status.elevated_seconds:.0f} s left" if status.elevated_seconds else "no"


def why_rows(client: ClientConnection) -> Iterator[OwnRow]:
    considered = client.session.last()
    if considered is None:
        return
    yield "asked", " ".join(considered.statement.text.split())[:300]
    yield "verdict", considered.decision.verdict.word
    for line in (*considered.evidence, *explanation_of(considered, client.session.policy)):
        label, _, text = line.partition(": ")
        yield (label if text else "", text or label)


def _topology_rows(client: ClientConnection) -> Iterator[OwnRow]:
    for each in client.session.topology():
        yield (
            each.node,
            str(each.role),
            each.proof,
            each.version,
            each.lag_seconds,
            each.threads_running,
            each.identity.address if each.identity else None,
            each.unreachable or None,
        )


def _limit_rows(client: ClientConnection) -> Iterator[OwnRow]:
    limits = client.session.limits
    return ((name, float(getattr(limits, name))) for name in sorted(LIMIT_NAMES))


OWN_TABLES: Tables = {
    "status": OwnTable(columns=_PAIRS, rows=status_rows),
    "why": OwnTable(columns=_PAIRS, rows=why_rows),
    "topology": OwnTable(
        columns={
            "node": VARCHAR, "role": VARCHAR, "proof": VARCHAR, "version": VARCHAR, "lag_seconds": DOUBLE,
            "threads_running": BIGINT, "address": VARCHAR, "unreachable": VARCHAR,
        },
        rows=_topology_rows,
    ),
    "limits": OwnTable(columns={"limit": VARCHAR, "value": DOUBLE}, rows=_limit_rows),
}  # fmt: skip
"""Those that need nothing but the connection itself."""
