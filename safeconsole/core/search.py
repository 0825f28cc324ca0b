"""Which of the recorded statements are meant."""

from __future__ import annotations

import msgspec

from safeconsole.core.story import StatementStory


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a statement must be to be found; an empty field asks nothing. All fields must hold.

    Attributes:
        text: somewhere in the statement, its reason or its messages, whatever the case.
        person: the login identity or the account.
        cluster, ticket, verdict, outcome, kind: exactly, whatever the case.
        table: "schema.table" or "table".
        since, until: UTC times; the beginning of one ("2026-11-07") is enough; `until` is included.
        console: also what the console asked by itself.
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


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """
    A session by its first record alone.

    Attributes:
        session: its id.
        opened: UTC, "" where its first record cannot be read.
        cluster: "" likewise.
        live: whether a console still writes to it.
    """

    session: str
    opened: str = ""
    cluster: str = ""
    live: bool = False


def may_hold(query: Query, glance: Glance) -> bool:
    """Return whether a session could hold what is meant; one of which nothing is known could."""
    if query.until and glance.opened[: len(query.until)] > query.until:
        return False
    return not (query.cluster and glance.cluster) or query.cluster.casefold() == glance.cluster.casefold()


def matches(query: Query, story: StatementStory) -> bool:
    """Return whether a statement is meant."""
    if story.by_console and not query.console:
        return False
    if query.since and story.asked < query.since:
        return False
    if query.until and story.asked[: len(query.until)] > query.until:
        return False
    if query.person and query.person.casefold() not in {story.person.casefold(), story.login.casefold()}:
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
