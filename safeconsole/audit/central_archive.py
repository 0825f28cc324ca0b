"""The sessions of all computers, read from the central database, a page at a time.

No query counts or sorts everything: lists go on from the last row that was shown, and a search that takes too long says
how far it came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, Table, and_, func, or_, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from safeconsole.audit.central import ENTRIES
from safeconsole.audit.index import ListedStatement, add_review, set_state
from safeconsole.audit.index_tables import (
    COVERAGE,
    REVIEWS,
    SESSIONS,
    STATEMENTS,
    STREAMS,
    anchors_of,
    reviews_by_session,
)
from safeconsole.audit.record import GENESIS, Entry, Finding, SessionSummary, hash_in_line, sealed_line
from safeconsole.audit.review import REVIEW_VERSION, Review, ReviewAct, ReviewState, objection_to, state_of
from safeconsole.audit.search import Query
from safeconsole.audit.story import StatementStory
from safeconsole.audit.verification import check_session, check_signatures
from safeconsole.clock import Clock
from safeconsole.errors import AuditUnavailableError, ConfigurationError

PAGE_ROWS = 100
SHOWN_LINES = 1_500
"""Lines of a session that one page tells."""

WHOLE_LINES = 5_000
"""A session of at most so many lines is verified when it is shown; a longer one was, as it arrived."""

SEARCH_SECONDS = 0.15
"""How long a search looks before it says how far it came."""

WINDOW_ROWS = 2_000
"""Statements that are looked through at a time for a text or a table."""

MOST_COUNTED = 1_000
ATTEMPTS = 5

_ENTRY, _SUMMARY = msgspec.json.Decoder(Entry), msgspec.json.Decoder(SessionSummary)
_SHOWN = msgspec.json.Decoder(ListedStatement)

Place = tuple[str, str, int]
"""Where a list goes on: the time, the session and the statement of the last row shown."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a list, with the state of its review."""

    summary: SessionSummary
    state: ReviewState
    host: str
    reviews: tuple[Review, ...] = ()


class Covered(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule of a policy decided.

    Attributes:
        policy: its name and the beginning of its hash.
        last: the last day, UTC.
    """

    policy: str
    rule: str
    verdict: str
    statements: int
    last: str


class FoundStatements(msgspec.Struct, frozen=True, kw_only=True):
    """A page of statements, the newest first.

    Attributes:
        statements: with what a list shows of them.
        older: where the next page begins, None at the end.
        is_whole: whether everything up to `older` was looked through; a search that took too long stops before.
    """

    statements: tuple[StatementStory, ...]
    older: Place | None
    is_whole: bool


class Portion(msgspec.Struct, frozen=True, kw_only=True):
    """Some lines of a session.

    Attributes:
        more: the number of the first line that was left out, -1 for none.
    """

    entries: tuple[Entry, ...]
    more: int


class CentralArchive:
    """The central database, for reading sessions and reviewing them.

    Args:
        public_keys: trusted signing keys of host logs; with one, a session whose anchors are unsigned is invalid.
    """

    def __init__(self, engine: Engine, clock: Clock, *, public_keys: tuple[str, ...] = ()) -> None:
        self._engine, self._clock, self._public_keys = engine, clock, public_keys

    def sessions(
        self, *, state: str = "", person: str = "", cluster: str = "", before: Place | None = None
    ) -> tuple[list[Listed], Place | None]:
        """Return a page of sessions, the newest first, and where the next page begins.

        Args:
            state: "" for those that wait for a review or are flagged, "all", or a review state.
        """
        wanted = select(SESSIONS.c.summary, SESSIONS.c.state, SESSIONS.c.host)
        if state != "all":
            wanted = wanted.where(SESSIONS.c.state == state if state else SESSIONS.c.queued.is_(True))
        for column, value in ((SESSIONS.c.person, person), (SESSIONS.c.cluster, cluster)):
            wanted = wanted.where(column == value.casefold()) if value else wanted
        if before is not None:
            wanted = wanted.where(_comes_before(SESSIONS, "opened", before))
        order = (SESSIONS.c.opened.desc(), SESSIONS.c.session.desc())
        with self._reading() as connection:
            rows = connection.execute(wanted.order_by(*order).limit(PAGE_ROWS + 1)).all()
            listed = [
                Listed(summary=_SUMMARY.decode(row.summary), state=ReviewState(row.state), host=row.host)
                for row in rows[:PAGE_ROWS]
            ]
            listed = _with_reviews(connection, listed)
        last = listed[-1].summary if len(rows) > PAGE_ROWS else None
        return listed, (last.opened, last.session, 0) if last else None

    def session(self, name: str) -> Listed:
        """Return one session, by its id or the unique beginning of it. Raises ConfigurationError: there is none."""
        wanted = select(SESSIONS.c.summary, SESSIONS.c.state, SESSIONS.c.host)
        with self._reading() as connection:
            rows = connection.execute(wanted.where(SESSIONS.c.session == name)).all()
            if not rows and name:
                like = SESSIONS.c.session.startswith(name, autoescape=True)
                rows = connection.execute(wanted.where(like).limit(2)).all()
            if len(rows) != 1:
                what = "is ambiguous" if rows else "is not here, or not yet"
                raise ConfigurationError(f"session {name} {what}", instead="the list of all sessions names them")
            row = rows[0]
            summary = _SUMMARY.decode(row.summary)
            reviews = reviews_by_session(connection, [summary.session]).get(summary.session, ())
        return Listed(summary=summary, state=ReviewState(row.state), host=row.host, reviews=reviews)

    def portion(self, session: str, first: int = 0) -> Portion:
        """Return some readable lines of a session, from a number on."""
        wanted = select(ENTRIES.c.number, ENTRIES.c.line).where(ENTRIES.c.stream == session, ENTRIES.c.number >= first)
        with self._reading() as connection:
            rows = connection.execute(wanted.order_by(ENTRIES.c.number).limit(SHOWN_LINES + 1)).all()
        more = rows[SHOWN_LINES].number if len(rows) > SHOWN_LINES else -1
        return Portion(entries=tuple(_readable(row.line for row in rows[:SHOWN_LINES])), more=more)

    def findings(self, summary: SessionSummary) -> tuple[Finding, ...]:
        """Verify a session against itself and its computer's host log; an empty result means that it is intact."""
        with self._reading() as connection:
            anchors = anchors_of(connection, summary.session)
            lines: list[bytes] = []
            if summary.entries <= WHOLE_LINES:
                wanted = select(ENTRIES.c.line).where(ENTRIES.c.stream == summary.session)
                lines = [f"{line}\n".encode() for line in connection.scalars(wanted.order_by(ENTRIES.c.number))]
        findings = [check_session(summary.session, lines, anchors, live=summary.live)] if lines else []
        if self._public_keys:
            # Imported here: it is slow to import, and needed where keys are configured alone.
            from safeconsole.audit.signing import KeyRing  # noqa: PLC0415

            findings.append(check_signatures(anchors, KeyRing(self._public_keys)))
        return tuple(finding for finding in findings if finding is not None)

    def review(self, session: str, head: str, act: ReviewAct, note: str, *, by: str, also: frozenset[str]) -> Review:
        """Write one review, of the session as the reviewer read it.

        Args:
            head: the hash of the last entry that the reviewer was shown; what came since is a reason to read again.
            also: other names of the reviewer.

        Raises:
            ConfigurationError: not possible now, for example because it is the reviewer's own session.
        """
        for _ in range(ATTEMPTS):
            try:
                with self._writing() as connection:
                    return self._append(connection, session, (head, act, note), by=by, also=also)
            except IntegrityError:
                # Somebody else's review took the number.
                continue
        raise AuditUnavailableError("the review could not be written: too many others are", instead="try it again")

    def _append(
        self, connection: Connection, session: str, said: tuple[str, ReviewAct, str], *, by: str, also: frozenset[str]
    ) -> Review:
        head, act, note = said
        row = connection.execute(select(SESSIONS.c.summary).where(SESSIONS.c.session == session)).one_or_none()
        if row is None:
            raise ConfigurationError(f"there is no session {session}")
        summary = _SUMMARY.decode(row.summary)
        reviews = reviews_by_session(connection, [session]).get(session, ())
        if head != summary.head:
            raise ConfigurationError(
                f"session {session} has gone on since you read it", instead="read it again, and review that"
            )
        person = by if summary.person.casefold() not in also else summary.person
        objection = objection_to(act, summary, reviews, by=person, note=note)
        if objection:
            raise ConfigurationError(objection)
        last = connection.execute(select(REVIEWS).order_by(REVIEWS.c.number.desc()).limit(1)).one_or_none()
        review = Review(
            version=REVIEW_VERSION,
            number=last.number + 1 if last else 0,
            time=self._clock.utc(),
            session=session,
            head=head,
            act=act,
            by=person,
            note=note.replace("\0", "\ufffd"),
            previous=(hash_in_line(last.line.encode()) or "") if last else GENESIS,
        )
        line, digest = sealed_line(review)
        add_review(connection, review, line)
        set_state(connection, session, state_of(summary, (*reviews, review)))
        return msgspec.structs.replace(review, hash=digest)

    def statements(self, query: Query, *, notable: bool = False, before: Place | None = None) -> FoundStatements:
        """Return a page of matching statements, the newest first.

        Args:
            notable: only what changed something, or did not simply run.
        """
        conditions = _exact(query)
        if notable:
            conditions.append(STATEMENTS.c.notable.is_(True))
        looks = _looks(query)
        found: list[StatementStory] = []
        deadline = time.monotonic() + SEARCH_SECONDS
        with self._reading() as connection:
            while True:
                within = [*conditions, *([_comes_before(STATEMENTS, "asked", before)] if before else [])]
                end = _window_end(connection, within) if looks else None
                inside = [*within, *([~_comes_before(STATEMENTS, "asked", end)] if end else [])]
                wanted = (
                    select(STATEMENTS).where(*inside, *looks).order_by(*_NEWEST_FIRST).limit(PAGE_ROWS + 1 - len(found))
                )
                found += [_found(row) for row in connection.execute(wanted).mappings()]
                if len(found) > PAGE_ROWS:
                    last = found[PAGE_ROWS - 1]
                    older = (last.asked, last.session, last.statement)
                    return FoundStatements(statements=tuple(found[:PAGE_ROWS]), older=older, is_whole=True)
                if end is None or time.monotonic() > deadline:
                    return FoundStatements(statements=tuple(found), older=end, is_whole=end is None)
                before = end

    def coverage(self, since: str) -> list[Covered]:
        """Return what each rule decided from a day on, by policy, what decided most first."""
        columns = (COVERAGE.c.policy, COVERAGE.c.rule, COVERAGE.c.verdict)
        total, last = func.sum(COVERAGE.c.statements), func.max(COVERAGE.c.day)
        wanted = select(*columns, total.label("statements"), last.label("last")).where(COVERAGE.c.day >= since)
        with self._reading() as connection:
            rows = connection.execute(wanted.group_by(*columns).order_by(COVERAGE.c.policy, total.desc())).mappings()
            return [Covered(**{**row, "statements": int(row["statements"])}) for row in rows]

    def counts(self) -> Mapping[str, int]:
        """Return sessions that wait for a review, open sessions and damaged host logs; each counted to 1,000."""
        conditions = {
            "queued": select(SESSIONS.c.session).where(SESSIONS.c.queued.is_(True)),
            "live": select(SESSIONS.c.session).where(SESSIONS.c.live.is_(True)),
            "damaged": select(STREAMS.c.stream).where(STREAMS.c.trouble != "", STREAMS.c.stream.startswith("host-")),
        }
        with self._reading() as connection:
            return {
                name: connection.scalar(select(func.count()).select_from(wanted.limit(MOST_COUNTED).subquery())) or 0
                for name, wanted in conditions.items()
            }

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _told_as_ours(self._engine.connect) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _told_as_ours(self._engine.begin) as connection:
            yield connection


@contextmanager
def _told_as_ours(opened: Callable[[], object]) -> Iterator[Connection]:
    """Open a connection. Raises AuditUnavailableError: the database failed."""
    try:
        with opened() as connection:  # type: ignore[attr-defined]  # a context manager of a connection
            yield connection
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        # `from None`: the driver's words may quote the address.
        raise AuditUnavailableError(
            f"the central database does not answer ({type(error).__name__})", instead="try it again in a moment"
        ) from None


def _comes_before(table: Table, time_column: str, place: Place) -> ColumnElement[bool]:
    moment, session, statement = table.c[time_column], table.c.session, table.c.get("statement")
    later = session < place[1]
    if statement is not None:
        later = or_(later, and_(session == place[1], statement < place[2]))
    # The first condition is for the index: not every server sees it in the second.
    return and_(moment <= place[0], or_(moment < place[0], and_(moment == place[0], later)))


_NEWEST_FIRST = (STATEMENTS.c.asked.desc(), STATEMENTS.c.session.desc(), STATEMENTS.c.statement.desc())


def _exact(query: Query) -> list[ColumnElement[bool]]:
    """Return the conditions that an index answers."""
    columns = STATEMENTS.c
    found: list[ColumnElement[bool]] = []
    for column, value in (
        (columns.person, query.person), (columns.cluster, query.cluster), (columns.ticket, query.ticket),
        (columns.verdict, query.verdict), (columns.outcome, query.outcome),
    ):  # fmt: skip
        if value:
            found.append(column == value.casefold())
    if query.since:
        found.append(columns.asked >= query.since)
    if query.until:
        found.append(columns.asked < _end_of(query.until))
    return found


_SPANS = {10: timedelta(days=1), 13: timedelta(hours=1), 16: timedelta(minutes=1)}


def _end_of(until: str) -> str:
    """Return the first time that is past the end of a time's prefix: "2026-11-07" is the whole day."""
    try:
        moment = datetime.fromisoformat(until) + _SPANS.get(len(until), timedelta(seconds=1))
    except (ValueError, OverflowError):
        return until
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def _looks(query: Query) -> list[ColumnElement[bool]]:
    """Return the conditions for which rows must be looked at."""
    columns = STATEMENTS.c
    found: list[ColumnElement[bool]] = []
    if query.table:
        found.append(columns.tables.contains(f"|{query.table.casefold()}|", autoescape=True))
    if query.text:
        text = query.text
        found.append(or_(columns.sql.icontains(text, autoescape=True), columns.said.icontains(text, autoescape=True)))
    return found


def _window_end(connection: Connection, conditions: list[ColumnElement[bool]]) -> Place | None:
    columns = (STATEMENTS.c.asked, STATEMENTS.c.session, STATEMENTS.c.statement)
    wanted = select(*columns).where(*conditions).order_by(*_NEWEST_FIRST)
    row = connection.execute(wanted.offset(WINDOW_ROWS).limit(1)).one_or_none()
    return (row.asked, row.session, row.statement) if row else None


def _found(row: RowMapping) -> StatementStory:
    shown = _SHOWN.decode(row["shown"])
    return StatementStory(
        session=row["session"], statement=row["statement"], asked=row["asked"], sql=row["sql"], verdict=row["verdict"],
        outcome=row["outcome"], rules=tuple(filter(None, row["rules"].split("|"))),
        **msgspec.structs.asdict(shown),
    )  # fmt: skip


def _with_reviews(connection: Connection, listed: list[Listed]) -> list[Listed]:
    held = reviews_by_session(connection, [one.summary.session for one in listed])
    return [msgspec.structs.replace(one, reviews=held.get(one.summary.session, ())) for one in listed]


def _readable(lines: Iterator[str]) -> Iterator[Entry]:
    for line in lines:
        try:
            yield _ENTRY.decode(line)
        except (msgspec.DecodeError, ValueError):
            continue
