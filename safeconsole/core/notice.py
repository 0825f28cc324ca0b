"""What others are told of an elevation, in one line."""

from __future__ import annotations

import msgspec


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """
    Something that became of an elevation.

    Attributes:
        what: "asked", "granted", "used", or how it ended.
        elevation: its id in the journal.
        time: UTC, ISO 8601.
        person, host: who, and from which computer.
        agent: the program that asked for them, or "".
        cluster, environment: where.
        scope: "statement" or "break-glass".
        reason, ticket: why.
        detail: the statement that used it, as the journal holds it; "" otherwise.
        concerns: login identities of those whom it concerns more than everybody: who could approve it, or was skipped.
    """

    what: str
    elevation: str
    time: str
    person: str
    host: str
    agent: str
    cluster: str
    environment: str
    scope: str
    reason: str
    ticket: str
    detail: str = ""
    concerns: tuple[str, ...] = ()


def notice_line(notice: Notice) -> str:
    """Return a notice as one line of text, whatever its parts hold."""
    who = f"{notice.person}@{notice.host}" + (f" by {notice.agent}" if notice.agent else "")
    where = f"{notice.cluster} ({notice.environment})" if notice.environment else notice.cluster
    ticket = f", ticket {notice.ticket}" if notice.ticket else ""
    detail = f": {notice.detail}" if notice.detail else ""
    line = f"elevation {notice.what} on {where}: {who}, {notice.scope}, reason: {notice.reason}{ticket}{detail}"
    return "".join(each if each.isprintable() else " " for each in line)
