"""Search for statements in the journals of this computer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from safeconsole.audit.archive import Glance, LocalArchive
from safeconsole.audit.record import Entry
from safeconsole.audit.story import StatementStory, statements_of
from safeconsole.errors import ConfigurationError


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What to search for; all non-empty fields must match.

    Attributes:
        text: part of the statement, its reason or its messages, ignoring case.
        person: the login identity or the account.
        cluster, ticket, verdict, outcome, kind: equal, ignoring case.
        table: "schema.table" or "table".
        since, until: UTC times or prefixes of one ("2026-11-07"); `until` is included.
        console: include what the console itself asked.
    """

    text: str = ""
    person: str = ""
    cluster: str = ""
    table: str = ""
    ticket: str = ""
    verdict: str = ""
    outcome: str = ""
    kind: str = ""
    since: str = ""
    until: str = ""
    console: bool = False


def may_hold(query: Query, glance: Glance) -> bool:
    """Return whether a session could hold matching statements; an unreadable one could."""
    if query.until and glance.opened[: len(query.until)] > query.until:
        return False
    if query.person and glance.person and not _is_of(query.person, glance):
        return False
    return not (query.cluster and glance.cluster) or query.cluster.casefold() == glance.cluster.casefold()


def _is_of(person: str, found: Glance | StatementStory) -> bool:
    return person.casefold() in {found.person.casefold(), found.login.casefold()}


def matches(query: Query, story: StatementStory) -> bool:
    if story.by_console and not query.console:
        return False
    if query.since and story.asked < query.since:
        return False
    if query.until and story.asked[: len(query.until)] > query.until:
        return False
    if query.person and not _is_of(query.person, story):
        return False
    for name in ("cluster", "ticket", "verdict", "outcome", "kind"):
        wanted = getattr(query, name)
        if wanted and getattr(story, name).casefold() != wanted.casefold():
            return False
    return _names_table(query.table, story) and _holds_text(query.text, story)


def _names_table(table: str, story: StatementStory) -> bool:
    if not table:
        return True
    wanted = table.casefold()
    return any(wanted in {name.casefold(), name.casefold().rpartition(".")[2]} for name in story.tables)


def _holds_text(text: str, story: StatementStory) -> bool:
    if not text:
        return True
    wanted = text.casefold()
    return any(wanted in held.casefold() for held in (story.sql, story.reason, story.message, story.end_message))


_AGO = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment_of(value: str) -> str:
    """Return a time, or an age such as "2h", as a prefix of a journal time. Raises ConfigurationError."""
    ago = _AGO.fullmatch(value.strip())
    text = value.strip().replace(" ", "T").removesuffix("Z")
    try:
        if ago:
            then = datetime.now(UTC) - timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
            return then.strftime("%Y-%m-%dT%H:%M:%S")
        datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{value!r} is not a time: give 2026-11-07, 2026-11-07T11:49 (UTC), or how long ago, as 2h or 7d"
        ) from None
    return text


VERDICTS = ("allow", "confirm", "elevate", "deny")
OUTCOMES = ("done", "refused", "failed", "stopped", "unseen", "unknown", "running")


def query_of(text: str, fields: dict[str, object]) -> Query:
    """Return the query for command-line options that click has checked."""
    return Query(text=text, **{name: value for name, value in fields.items() if value is not None})  # type: ignore[arg-type]


def found(
    archive: LocalArchive, query: Query, sessions: tuple[str, ...], *, unread: Callable[[str], None]
) -> Iterator[StatementStory]:
    """Yield matching statements, oldest session first.

    Args:
        sessions: search only these; all when empty.
        unread: called for each session that cannot be read completely.

    Raises:
        ConfigurationError: one of `sessions` is unknown.
    """
    glances = archive.glance()
    live = {glance.session for glance in glances if glance.live}
    for name in sessions or (glance.session for glance in glances if may_hold(query, glance)):
        troubles: list[str] = []
        entries = _as_far_as_readable(archive.entries(name), troubles)
        first = next(entries, None)
        whole_name = first.session if first else name
        held = itertools.chain((first,) if first else (), entries)
        for story in statements_of(whole_name, held, live=whole_name in live):
            if matches(query, story):
                yield story
        for trouble in troubles:
            unread(f"session {whole_name} cannot be read completely, see audit verify: {trouble}")


def _as_far_as_readable(entries: Iterator[Entry], troubles: list[str]) -> Iterator[Entry]:
    expected = 0
    try:
        for entry in entries:
            if entry.number != expected and not troubles:
                troubles.append(f"record {expected} is not there, or no record")
            expected = entry.number + 1
            yield entry
    except ConfigurationError as error:
        troubles.append(error.message)
    if not expected and not troubles:
        troubles.append("it has no record")
