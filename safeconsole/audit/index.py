"""The index of a central database: one row a session and one a statement, made from the journal's lines as they arrive.

The lines stay the truth: the index can be dropped, and is made again. Whoever reads a session reads its lines.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy import Connection, Engine, Table, delete, func, insert, select, update
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from safeconsole.audit.central import ENTRIES, put
from safeconsole.audit.host_log import AnchorEvent
from safeconsole.audit.index_tables import (
    ANCHORS,
    COVERAGE,
    REVIEWS,
    SESSIONS,
    STATEMENTS,
    STREAMS,
    anchor_in,
    anchors_of,
    reviews_by_session,
)
from safeconsole.audit.record import Entry, SessionOpened, SessionSummary, hash_in_line
from safeconsole.audit.review import Review, ReviewState, state_of
from safeconsole.audit.story import SessionCount, StatementStory, StoryReader
from safeconsole.audit.verification import misplaced
from safeconsole.sqltext.vocabulary import OutcomeKind

HOST = "host-"
"""Begins the name of a host log's stream."""

LATE_SECONDS = 30.0
"""How far clocks may differ, and lines be late, to be seen at once; others are seen by a pass over all streams."""

ALL_SECONDS = 600.0
"""Pause between two passes over all streams."""

COVER_SECONDS = 60.0
"""Pause between two counts of what rules decided."""

SILENT_SECONDS = 86_400.0
"""After this long without a line, a session that never closed counts as over."""

BATCH_LINES = 2_000
KEPT_READINGS = 500
STREAMS_AT_ONCE = 100
MANY_STORIES = 2_000
MANY_WAITING = 20
"""Streams that may wait without a word about it: each pass has some."""

PASS_SECONDS = 2.0
"""How long one pass takes at most before what it read is shown, and the next begins."""

_ENTRY = msgspec.json.Decoder(Entry)


class ListedStatement(msgspec.Struct, frozen=True, kw_only=True):
    """What a list shows of a statement beyond the columns that it is found by."""

    person: str
    cluster: str
    node: str
    ticket: str
    rows: int
    changed_rows: int
    elapsed_seconds: float


def queued_in(state: ReviewState) -> bool:
    return state in {ReviewState.PENDING, ReviewState.FLAGGED}


class SessionReading:
    """One session's lines as far as they were read: its counts, its statements, and whether its chain holds."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.lines = 0
        self.head = self.trouble = self.last = self.host = ""
        self.count = SessionCount()
        self._stories = StoryReader(session)
        self._touched: set[int] = set()

    def read(self, number: int, line: str) -> None:
        data = line.encode()
        found = hash_in_line(data)
        wrong = "its text does not match its hash" if found is None else ""
        if not wrong:
            wrong = misplaced(data, self.lines, self.head, self.session) if self.lines else ""
        self._doubt(wrong or (f"number {number} stands here" if number != self.lines else ""))
        self.lines, self.head = number + 1, found or ""
        try:
            entry = _ENTRY.decode(data)
        except (msgspec.DecodeError, ValueError):
            self._doubt("it cannot be read")
            return
        if isinstance(entry.record, SessionOpened):
            self.host = entry.record.host
        self.last = max(self.last, entry.time)
        self.count.read(entry)
        self._stories.read(entry)
        statement: int = getattr(entry.record, "statement", -1)
        if statement >= 0:
            self._touched.add(statement)

    def _doubt(self, what: str) -> None:
        if what and not self.trouble:
            self.trouble = f"record {self.lines}: {what}"

    def changed_stories(self, *, live: bool) -> Iterator[StatementStory]:
        """Yield the stories that changed since the last call, without the console's own."""
        stories = self._stories.stories
        for number in sorted(self._touched if live else stories):
            story = stories[number]
            if story.sent and not story.ended:
                story.outcome = "running" if live else OutcomeKind.UNKNOWN
            if not story.by_console:
                yield story
        if len(stories) > MANY_STORIES:
            # What ended long ago changes no more, and the reading of a gateway's session would grow for ever.
            for number in [each for each in stories if stories[each].ended and each < max(stories) - 100]:
                del stories[number]
        self._touched.clear()


class Indexer:
    """Reads lines that arrived, and keeps the index; one for a database.

    Args:
        now: seconds since 1970.

    Attributes:
        refused: streams that the database does not take.
    """

    def __init__(self, engine: Engine, *, now: Callable[[], float] = time.time) -> None:
        self._engine, self._now = engine, now
        self._readings: OrderedDict[str, SessionReading] = OrderedDict()
        self._seen_epoch = self._all_epoch = 0.0
        self._waiting: dict[str, None] = {}
        self._days: set[str] = set()
        self._covered_epoch = 0.0
        self.refused: set[str] = set()

    def cover(self) -> None:
        """Count anew what rules decided on the days that changed, once a minute at most. Raises SQLAlchemyError."""
        if not self._days or self._now() - self._covered_epoch < COVER_SECONDS:
            return
        with self._engine.begin() as connection:
            for day in sorted(self._days):
                connection.execute(delete(COVERAGE).where(COVERAGE.c.day == day))
                rows = _coverage_of(connection, day)
                if rows:
                    connection.execute(insert(COVERAGE), rows)
        self._days.clear()
        self._covered_epoch = self._now()

    @property
    def waiting(self) -> int:
        """How many streams are known to have lines that are not in the index yet."""
        return len(self._waiting)

    def step(self) -> int:
        """Read for some seconds, and return the lines read; 0 when all are in the index. Raises SQLAlchemyError."""
        began = self._now()
        # What is behind by much is read on before anything newer is looked for.
        if len(self._waiting) < STREAMS_AT_ONCE:
            with self._engine.connect() as connection:
                self._waiting.update(dict.fromkeys(self._streams_with_news(connection, began)))
            # Host logs first: a session's lines are held against them.
            self._waiting = dict.fromkeys(sorted(self._waiting, key=lambda name: not name.startswith(HOST)))
        lines = 0
        while self._waiting and self._now() - began < PASS_SECONDS:
            streams = list(itertools.islice(self._waiting, STREAMS_AT_ONCE))
            lines += self._take_apart(streams)
            for stream in streams:
                del self._waiting[stream]
        return lines

    def _take_apart(self, streams: Sequence[str]) -> int:
        """Read the news of some streams; one that the database does not take keeps no other waiting."""
        try:
            return self._take(streams)
        except (DataError, IntegrityError):
            if len(streams) > 1:
                return sum(self._take_apart([stream]) for stream in streams)
            self.refused.add(streams[0])
            return 0

    def _take(self, streams: Sequence[str]) -> int:
        """Read the news of some streams in one transaction."""
        readings: dict[str, SessionReading] = {}
        taken = 0
        with self._engine.begin() as connection:
            for stream in streams:
                if stream.startswith(HOST):
                    taken += self._take_anchors(connection, stream)
                else:
                    reading = self._readings.pop(stream, None) or SessionReading(stream)
                    for number, line in _lines_of(connection, stream, reading.lines):
                        reading.read(number, line)
                        taken += 1
                    readings[stream] = reading
            self._save(connection, [reading for reading in readings.values() if reading.lines])
        # Only now: what failed is read again from its beginning.
        self._readings.update({name: reading for name, reading in readings.items() if not reading.count.closed})
        while len(self._readings) > KEPT_READINGS:
            self._readings.popitem(last=False)
        return taken

    def _streams_with_news(self, connection: Connection, now: float) -> Iterator[str]:
        every = now - self._all_epoch >= ALL_SECONDS
        last = select(ENTRIES.c.stream, func.max(ENTRIES.c.number).label("number")).group_by(ENTRIES.c.stream)
        if not every:
            # Bounded on both sides: what a wrong clock put into the future is not looked at each time.
            since, until = _time_of(self._seen_epoch - LATE_SECONDS), _time_of(now + LATE_SECONDS)
            last = last.where(ENTRIES.c.time >= since, ENTRIES.c.time < until)
        found = last.subquery()
        known = found.outerjoin(STREAMS, STREAMS.c.stream == found.c.stream)
        news = select(found.c.stream).select_from(known)
        yield from connection.scalars(news.where(found.c.number >= func.coalesce(STREAMS.c.lines, 0)))
        if every:
            silent = SESSIONS.c.live.is_(True) & (SESSIONS.c.last < _time_of(now - SILENT_SECONDS))
            yield from connection.scalars(select(SESSIONS.c.session).where(silent))
            self._all_epoch = now
        self._seen_epoch = now

    def _take_anchors(self, connection: Connection, stream: str) -> int:
        known = connection.execute(select(STREAMS).where(STREAMS.c.stream == stream)).mappings().one_or_none()
        row = dict(known or {"stream": stream, "lines": 0, "head": "", "trouble": ""})
        places, taken = [], 0
        for number, line in _lines_of(connection, stream, row["lines"]):
            data = line.encode()
            found = hash_in_line(data)
            wrong = "its text does not match its hash" if found is None else ""
            wrong = wrong or (misplaced(data, row["lines"], row["head"], "") if row["lines"] else "")
            row["trouble"] = row["trouble"] or (wrong and f"record {number}: {wrong}")
            row |= {"lines": number + 1, "head": found or ""}
            taken += 1
            anchor = anchor_in(data)
            if anchor is not None and anchor.session:
                places.append({"session": _plain(anchor.session)[:80], "stream": stream, "number": number})
                if anchor.event is AnchorEvent.ABANDONED:
                    self._waiting[anchor.session] = None
        self._put(connection, ANCHORS, places)
        self._put(connection, STREAMS, [row])
        return taken

    def _save(self, connection: Connection, readings: Sequence[SessionReading]) -> None:
        sessions, statements = [], []
        reviews = reviews_by_session(connection, [reading.session for reading in readings])
        for reading in readings:
            silent = not reading.last or reading.last < _time_of(self._now() - SILENT_SECONDS)
            live = not (reading.count.closed or silent or _is_abandoned(connection, reading.session))
            summary = reading.count.summary(reading.session, live=live, trouble=reading.trouble)
            statements += [_statement_row(story) for story in reading.changed_stories(live=live)]
            sessions.append(_session_row(summary, reading, reviews.get(reading.session, ())))
        self._days |= {str(row["asked"])[:10] for row in statements}
        self._put(connection, STATEMENTS, statements)
        self._put(connection, SESSIONS, sessions)
        progress = [
            {"stream": one.session, "lines": one.lines, "head": one.head, "trouble": one.trouble} for one in readings
        ]
        self._put(connection, STREAMS, progress)

    def _put(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        if rows:
            connection.execute(put(table, self._engine.dialect.name), list(rows))


def _coverage_of(connection: Connection, day: str) -> list[dict[str, object]]:
    columns = (STATEMENTS.c.policy, STATEMENTS.c.rules, STATEMENTS.c.verdict)
    within = (STATEMENTS.c.asked >= day, STATEMENTS.c.asked < f"{day}Z")
    counts: Counter[tuple[str, str, str]] = Counter()
    wanted = select(*columns, func.count().label("statements")).where(*within).group_by(*columns)
    for policy, rules, verdict, statements in connection.execute(wanted):
        for rule in filter(None, rules.split("|")):
            counts[policy, rule[:190], verdict] += statements
    return [
        {"day": day, "policy": policy, "rule": rule, "verdict": verdict, "statements": count}
        for (policy, rule, verdict), count in counts.items()
    ]


def set_state(connection: Connection, session: str, state: ReviewState) -> None:
    """Note the state that a review led to."""
    row = update(SESSIONS).where(SESSIONS.c.session == session)
    connection.execute(row.values(state=state.value, queued=queued_in(state)))


def add_review(connection: Connection, review: Review, line: bytes) -> None:
    """Append to the review book. Raises IntegrityError: another review took the number."""
    row = {"number": review.number, "session": review.session, "line": line.decode()}
    connection.execute(insert(REVIEWS), [row])


def _lines_of(connection: Connection, stream: str, first: int) -> Iterator[tuple[int, str]]:
    while True:
        wanted = select(ENTRIES.c.number, ENTRIES.c.line).where(ENTRIES.c.stream == stream, ENTRIES.c.number >= first)
        rows = connection.execute(wanted.order_by(ENTRIES.c.number).limit(BATCH_LINES)).all()
        yield from ((row.number, row.line) for row in rows)
        if len(rows) < BATCH_LINES:
            return
        first = rows[-1].number + 1


def _is_abandoned(connection: Connection, session: str) -> bool:
    return any(anchor.event is AnchorEvent.ABANDONED for anchor in anchors_of(connection, session))


def _session_row(summary: SessionSummary, reading: SessionReading, reviews: Sequence[Review]) -> dict[str, object]:
    state = state_of(summary, reviews)
    return {
        "session": summary.session, "opened": _plain(summary.opened)[:32], "last": _plain(reading.last)[:32],
        "person": _key(summary.person), "cluster": _key(summary.cluster), "queued": queued_in(state),
        "live": summary.live, "state": state.value, "host": _plain(reading.host)[:190],
        "summary": msgspec.json.encode(summary).decode(),
    }  # fmt: skip


def _statement_row(story: StatementStory) -> dict[str, object]:
    tables = {name.casefold() for name in story.tables}
    names = [*tables, *(name.rpartition(".")[2] for name in tables)]
    shown = ListedStatement(
        person=story.person, cluster=story.cluster, node=story.node, ticket=story.ticket, rows=story.rows,
        changed_rows=story.changed_rows, elapsed_seconds=story.elapsed_seconds,
    )  # fmt: skip
    return {
        "session": story.session, "statement": story.statement, "asked": _plain(story.asked)[:32],
        "person": _key(story.person), "cluster": _key(story.cluster),
        "verdict": _key(story.verdict)[:20], "outcome": _key(story.outcome)[:20], "ticket": _key(story.ticket),
        "notable": _is_notable(story), "tables": _plain(f"|{'|'.join(dict.fromkeys(names))}|"),
        "policy": _plain(story.policy)[:190], "rules": _plain("|".join(story.rules)), "sql": _plain(story.sql),
        "said": _plain("\n".join(filter(None, (story.reason, story.message, story.end_message)))),
        "shown": msgspec.json.encode(shown).decode(),
    }  # fmt: skip


def _is_notable(story: StatementStory) -> bool:
    went_well = story.outcome in {"done", "running", ""} and story.verdict in {"allow", ""}
    return not went_well or story.changed_rows > 0 or not set(story.effects) <= {"read", "session"}


def _key(text: str) -> str:
    return _plain(text).casefold()[:190]


def _plain(text: str) -> str:
    # PostgreSQL keeps no NUL; the line has it as an escape.
    return text.replace("\0", "\ufffd")


def _time_of(epoch: float) -> str:
    return datetime.fromtimestamp(max(epoch, 0.0), UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Indexing:
    """A background thread that keeps the index."""

    def __init__(
        self, indexer: Indexer, *, pause_seconds: float = 2.0, told: Callable[[int], None] = lambda _: None
    ) -> None:
        self._indexer, self._pause_seconds, self._told = indexer, pause_seconds, told
        self._stop = threading.Event()
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="safeconsole-indexing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def behind(self) -> str:
        """Return what the index lacks, in a sentence, "" for nothing."""
        if self._trouble:
            return f"What arrives is not shown at the moment: {self._trouble}."
        if self._indexer.refused:
            return f"{len(self._indexer.refused)} sessions cannot be shown: the database does not take what they hold."
        waiting = self._indexer.waiting
        return f"{waiting:,} sessions and logs are still being read." if waiting > MANY_WAITING else ""

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                lines = self._indexer.step()
                if not self._indexer.waiting:
                    self._indexer.cover()
                self._trouble = ""
            except SQLAlchemyError as error:
                lines, self._trouble = 0, f"the central database does not answer ({type(error).__name__})"
            self._told(lines)
            if not self._indexer.waiting or self._trouble:
                self._stop.wait(self._pause_seconds)
