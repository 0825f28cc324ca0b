"""The tables of an index beside a central database's lines, and what is read from several of them at once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, Engine, Index, MetaData, String, Table, Text, select
from sqlalchemy.dialects import mysql

from safeconsole.audit.central import ENTRIES
from safeconsole.audit.central import METADATA as ENTRIES_METADATA
from safeconsole.audit.host_log import Anchor, AnchorEvent
from safeconsole.audit.record import hash_in_line
from safeconsole.audit.review import Review

_ANCHOR, _REVIEW = msgspec.json.Decoder(Anchor), msgspec.json.Decoder(Review)

METADATA = MetaData()
_LONG = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

SESSIONS = Table(
    "safeconsole_sessions",
    METADATA,
    Column("session", String(80), primary_key=True),
    Column("opened", String(32), nullable=False),
    Column("last", String(32), nullable=False),
    Column("person", String(190), nullable=False),
    Column("cluster", String(190), nullable=False),
    Column("queued", Boolean, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("state", String(10), nullable=False),
    Column("host", String(190), nullable=False),
    Column("summary", _LONG, nullable=False),
    Index("safeconsole_sessions_opened", "opened", "session"),
    Index("safeconsole_sessions_queued", "queued", "opened", "session"),
    Index("safeconsole_sessions_state", "state", "opened", "session"),
    Index("safeconsole_sessions_person", "person", "opened", "session"),
    Index("safeconsole_sessions_cluster", "cluster", "opened", "session"),
    Index("safeconsole_sessions_live", "live", "last"),
)
"""`person` and `cluster` in lower case, to filter by; what is shown is in `summary`."""

STATEMENTS = Table(
    "safeconsole_statements",
    METADATA,
    Column("session", String(80), primary_key=True),
    Column("statement", BigInteger, primary_key=True, autoincrement=False),
    Column("asked", String(32), nullable=False),
    Column("person", String(190), nullable=False),
    Column("cluster", String(190), nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("ticket", String(190), nullable=False),
    Column("notable", Boolean, nullable=False),
    # "|shop.orders|orders|": a name between bars is a table's.
    Column("tables", _LONG, nullable=False),
    Column("policy", String(190), nullable=False),
    Column("rules", _LONG, nullable=False),
    Column("sql", _LONG, nullable=False),
    Column("said", _LONG, nullable=False),
    Column("shown", _LONG, nullable=False),
    Index("safeconsole_statements_asked", "asked", "session", "statement"),
    Index("safeconsole_statements_notable", "notable", "asked", "session", "statement"),
    Index("safeconsole_statements_person", "person", "asked", "session", "statement"),
    Index("safeconsole_statements_cluster", "cluster", "asked", "session", "statement"),
    Index("safeconsole_statements_ticket", "ticket", "asked", "session", "statement"),
    Index("safeconsole_statements_verdict", "verdict", "asked", "session", "statement"),
    Index("safeconsole_statements_outcome", "outcome", "asked", "session", "statement"),
)
"""Statements of people; what consoles asked themselves is in the lines alone."""

ANCHORS = Table(
    "safeconsole_anchors",
    METADATA,
    Column("session", String(80), primary_key=True),
    Column("stream", String(80), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
)
"""Where the lines of host logs are that name a session."""

STREAMS = Table(
    "safeconsole_streams",
    METADATA,
    Column("stream", String(80), primary_key=True),
    Column("lines", BigInteger, nullable=False),
    Column("head", String(64), nullable=False),
    Column("trouble", Text, nullable=False),
)
"""How far each stream was read."""

COVERAGE = Table(
    "safeconsole_coverage",
    METADATA,
    Column("day", String(10), primary_key=True),
    Column("policy", String(190), primary_key=True),
    Column("rule", String(190), primary_key=True),
    Column("verdict", String(20), primary_key=True),
    Column("statements", BigInteger, nullable=False),
)
"""How many statements of a day each rule of a policy decided, with others or alone."""

REVIEWS = Table(
    "safeconsole_reviews",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("session", String(80), nullable=False, index=True),
    Column("line", _LONG, nullable=False),
)
"""The team's review book: sealed lines, chained like a journal's."""


def make_tables(engine: Engine) -> None:
    """Make the tables that are missing. Raises SQLAlchemyError."""
    with engine.begin() as connection:
        ENTRIES_METADATA.create_all(connection)
        METADATA.create_all(connection)


def reviews_by_session(connection: Connection, sessions: Sequence[str]) -> dict[str, tuple[Review, ...]]:
    """Return the valid reviews of some sessions, each in order."""
    wanted = select(REVIEWS.c.line).where(REVIEWS.c.session.in_(sessions)).order_by(REVIEWS.c.number)
    found: dict[str, tuple[Review, ...]] = {}
    for line in connection.scalars(wanted) if sessions else ():
        if hash_in_line(line.encode()) is not None:
            review = _REVIEW.decode(line)
            found[review.session] = (*found.get(review.session, ()), review)
    return found


def anchor_in(data: bytes) -> Anchor | None:
    """Return the line of a host log, None where it is none."""
    try:
        return _ANCHOR.decode(data)
    except (msgspec.DecodeError, ValueError):
        return None


def anchors_of(connection: Connection, session: str) -> list[Anchor]:
    """Return the lines of the host log that name a session, in order; of the log that opened it where several do."""
    place = (ENTRIES.c.stream == ANCHORS.c.stream) & (ENTRIES.c.number == ANCHORS.c.number)
    wanted = select(ANCHORS.c.stream, ENTRIES.c.line).join(ENTRIES, place).where(ANCHORS.c.session == session)
    logs: dict[str, list[Anchor]] = {}
    for stream, line in connection.execute(wanted.order_by(ANCHORS.c.stream, ANCHORS.c.number)):
        anchor = anchor_in(line.encode())
        if anchor is not None:
            logs.setdefault(stream, []).append(anchor)
    opening = (held for held in logs.values() if held[0].event is AnchorEvent.OPENED)
    return next(opening, next(iter(logs.values()), []))
