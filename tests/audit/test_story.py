"""Entries read together: stories, summaries, searches, and the narrative."""

import typing

import msgspec
import pytest

from safeconsole.audit.narrative import narrate, told
from safeconsole.audit.record import (
    Approved,
    Asked,
    CodeEntered,
    CommandGiven,
    Confirmed,
    Decided,
    Disagreed,
    ElevationChanged,
    Ended,
    Entry,
    Intent,
    Noticed,
    Record,
    Sampled,
    SessionClosed,
    SessionOpened,
)
from safeconsole.audit.search import Query, matches
from safeconsole.audit.story import statements_of, summary_of

OPENED = SessionOpened(
    person="ana", login="ops", groups=(), host="h", origin="10.0.0.9", agent="ci", face="sql", cluster="shop",
    environment="production", policy="baseline", policy_hash="c0ffee", program="safeconsole",
)  # fmt: skip


def asked(number=1, sql="SELECT 1", **more):
    return Asked(
        statement=number,
        sql=sql,
        digest="d",
        kind="select",
        effects=("read",),
        tables=("shop.orders",),
        hazards=(),
        **more,
    )


def decided(number=1, verdict="allow", **more):
    return Decided(statement=number, verdict=verdict, rules=("r",), policy="p", route="replica", node="n", server="s", facts={},
                   limits={}, message="because", **more)  # fmt: skip


def intent(number=1, **more):
    return Intent(statement=number, sql="SELECT 1", digest="d", node="n", server="s", role="replica", account="read",
                  read_only=True, guards={"g": "1"}, limits={}, **more)  # fmt: skip


def ended(number=1, outcome="done", **more):
    return Ended(statement=number, outcome=outcome, **more)


def elevation(state="granted", scope="break-glass"):
    return ElevationChanged(id="e1", state=state, event="self-approved", scope=scope, cluster="shop", reason="stuck", ticket="INC-7",
                            digest="", server="", window_seconds=900.0)  # fmt: skip


def entries(*records):
    return [
        Entry(version=1, session="s", number=number, time=f"2026-11-07T11:49:{number:02d}.000000Z", offset_seconds=float(number),
              previous="p", record=record, hash=f"h{number}")
        for number, record in enumerate(records)
    ]  # fmt: skip


def test_a_statements_story_gathers_what_all_its_records_say():
    (story,) = statements_of(
        "s",
        entries(OPENED, asked(), decided(verdict="elevate"), Confirmed(statement=1, digest="d", answer="yes"), elevation(),
                Approved(statement=1, request="q", approver="cleo", answer="approved", digest="d"), intent(elevation="e1"),
                ended(rows=3, changed_rows=2, elapsed_seconds=0.5, message="fine")),
    )  # fmt: skip
    assert (story.person, story.cluster, story.sql, story.verdict, story.confirmed) == (
        "ana",
        "shop",
        "SELECT 1",
        "elevate",
        "yes",
    )
    assert (story.reason, story.ticket, story.approver) == ("stuck", "INC-7", "cleo (approved)")
    assert (story.asked[17:19], story.sent[17:19], story.ended[17:19]) == ("01", "06", "07")
    assert (story.outcome, story.rows, story.changed_rows, story.end_message, story.role) == (
        "done",
        3,
        2,
        "fine",
        "replica",
    )


@pytest.mark.parametrize(("live", "outcome"), [(False, "unknown"), (True, "running")])
def test_what_was_sent_and_never_ended_is_unknown_once_the_console_is_dead(live, outcome):
    assert [story.outcome for story in statements_of("s", entries(asked(), intent()), live=live)] == [outcome]
    assert [story.outcome for story in statements_of("s", entries(asked(), decided()), live=live)] == [""]


def test_a_disagreement_and_an_unknown_elevation_are_told():
    (story,) = statements_of(
        "s", entries(Disagreed(statement=1, ours="read", servers="no", code=1792), intent(elevation="lost"))
    )
    assert story.message == "the server objects: no (1792)"
    assert (story.elevation, story.ticket) == ("lost", "")


def test_an_approval_of_a_window_belongs_to_no_statement():
    assert (
        list(
            statements_of("s", entries(Approved(statement=-1, request="q", approver="c", answer="approved", digest="")))
        )
        == []
    )


def test_a_summary_counts():
    records = [OPENED, asked(1), decided(1, "deny"), ended(1, "refused"), asked(2, by_console=True), intent(2), ended(2, "stopped"),
               asked(3), elevation(), elevation(scope="statement"), elevation("expired"), intent(3), asked(4), decided(4, "deny", observed=True),
               ended(4, "refused"), intent(5), ended(5, "unknown"), SessionClosed(statements=4)]  # fmt: skip
    found = summary_of("s", entries(*records), trouble="torn")
    assert (found.statements, found.refused, found.denied, found.stopped) == (3, 2, 1, 1)
    assert (found.elevated, found.break_glass, found.unknown) == (2, 1, 2)
    assert (found.opened[17:19], found.closed[17:19], found.entries, found.head) == ("00", "17", 18, "h17")
    assert found.trouble == "torn"
    running = summary_of("s", entries(*records[:-1]), live=True)
    assert (running.live, running.unknown) == (True, 1)
    # What has closed is over, whoever holds its file.
    assert summary_of("s", entries(*records), live=True) == summary_of("s", entries(*records))
    assert summary_of("s", []).head == ""


def test_a_search_asks_for_all_of_its_fields():
    (story,) = statements_of(
        "s", entries(OPENED, asked(sql="SELECT Secret"), elevation(), intent(elevation="e1"), ended())
    )
    story.sql = "SELECT Secret"
    for query in (
        Query(), Query(text="secret"), Query(text="STUCK"), Query(person="ANA"), Query(person="ops"), Query(cluster="Shop"),
        Query(table="orders"), Query(table="SHOP.orders"), Query(ticket="inc-7"), Query(outcome="done"), Query(kind="select"),
        Query(since="2026-11-07"), Query(until="2026-11-07"), Query(until="2026-11-07T11:49:01"),
    ):  # fmt: skip
        assert matches(query, story), query
    for query in (
        Query(text="other"), Query(person="ben"), Query(cluster="till"), Query(table="order"), Query(table="till.orders"),
        Query(ticket="INC-8"), Query(outcome="stopped"), Query(verdict="deny"), Query(since="2026-11-08"), Query(until="2026-11-06"),
        Query(text="secret", person="ben"),
    ):  # fmt: skip
        assert not matches(query, story), query
    story.by_console = True
    assert not matches(Query(), story)
    assert matches(Query(console=True), story)


EXAMPLES = [
    OPENED,
    SessionClosed(statements=1, reason="end of input"),
    asked(sql="SELECT 1\nFROM t", by_console=True),
    decided(verdict="deny", observed=True),
    Disagreed(statement=1, ours="read", servers="no", code=1792),
    Confirmed(statement=1, digest="d", answer="no"),
    elevation(),
    intent(elevation="e1"),
    ended(outcome="stopped", stopped_by="watchdog", ceiling="run_seconds", kill="killed", peak_memory_bytes=1_048_576, truncated=True,
          changed_rows=2, server_error=1317, message="too long"),
    Noticed(what="told", detail="more"),
    Approved(statement=1, request="q", approver="cleo", answer="declined", digest="d", reason="not now"),
    Sampled(statement=1, elapsed_seconds=1.5, session_memory_bytes=1_048_576, free_memory_bytes=2_097_152, rows=1),
    CodeEntered(language="python", source="a = 1\nb"),
    CommandGiven(command="\\use primary", answer="now on primary"),
]  # fmt: skip


def test_every_kind_of_record_has_an_example_here():
    assert {type(example) for example in EXAMPLES} == set(typing.get_args(Record))


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: record.__struct_config__.tag)
def test_every_record_is_told_in_words(record):
    mark, lines = told(record)
    assert mark in {"plain", "asked", "good", "bad", "loud"}
    assert all(lines)
    assert type(record).__name__ not in "".join(lines)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (EXAMPLES[0], "ana as ops on h from 10.0.0.9, through ci opened sql on shop"),
        (EXAMPLES[1], "closed after 1 statement (end of input)"),
        (EXAMPLES[2], "#1 asked by the console itself: SELECT 1"),
        (EXAMPLES[3], "deny by r, observed only: n (replica)"),
        (EXAMPLES[7], "sent to n (replica, s) as read, read-only, elevated by e1"),
        (EXAMPLES[8], "#1 stopped: 2 rows changed, cut short, peak memory 1.0 MiB, by watchdog, at run_seconds, kill: killed, server error 1317, too long"),
        (ended(), "#1 done: 0 rows in 0.000 s"),
        (ended(outcome="unknown"), "#1 unknown"),
        (EXAMPLES[10], "approval q declined by cleo: not now"),
        (EXAMPLES[11], "#1 after 1.5 s: session 1.0 MiB, free 2.0 MiB, 1 row"),
        (Noticed(what="told"), "told"),
        (decided(verdict="allow"), "allow by r: n (replica)"),
    ],
)  # fmt: skip
def test_the_words_say_what_happened(record, expected):
    assert told(record)[1][0] == expected


@pytest.mark.parametrize(
    ("live", "mark", "words"),
    [(False, "loud", "it may or may not have run (unknown)"), (True, "plain", "still running")],
)
def test_a_story_ends_with_what_never_ended(live, mark, words):
    *_, last = narrate(entries(asked(1), intent(1), ended(1), intent(2)), live=live)
    assert (last.number, last.mark) == (-1, mark)
    assert last.lines[0].startswith("#2 was sent at 2026-11-07T11:49:03")
    assert words in last.lines[0]


def test_the_end_of_an_elevation_says_what_it_covered():
    passages = list(
        narrate(entries(elevation(), intent(elevation="e1"), ended(), intent(2), ended(2), elevation("expired")))
    )
    assert passages[-1].lines[-1] == "covered: #1 SELECT 1"
    assert not any("covered" in line for passage in passages[:-1] for line in passage.lines)
    *_, last = narrate(entries(elevation(), elevation("revoked")))
    assert last.lines[-1] == "covered: nothing was sent under it"
    one = msgspec.structs.replace(elevation(scope="statement"), statement=4)
    assert told(one)[1][0].startswith("elevation e1 granted for statement #4, 900 s, on shop")


def test_an_approval_of_an_elevation_stands_with_every_statement_sent_under_it():
    told = entries(
        Approved(statement=-1, request="e1", approver="cleo", answer="approved", digest=""), intent(elevation="e1"),
    )  # fmt: skip
    (story,) = statements_of("s", told)
    assert story.approver == "cleo (approved)"


def test_a_story_tells_guards_limits_and_servers_once_and_then_their_changes():
    sends = [
        Intent(statement=number, sql="SELECT 1", digest="d", node="n", server="s", role="replica", account="read",
               read_only=True, guards=guards, limits={"run_seconds": 30.0, "free_memory_bytes": 0.0})
        for number, guards in enumerate([{"a": "1", "b": "2"}, {"a": "1", "b": "2"}, {"a": "0"}], 1)
    ]  # fmt: skip
    assert [passage.lines for passage in narrate(entries(*sends))][:3] == [
        ("sent to n (replica, s) as read, read-only", "guards read back: a=1, b=2", "limits: run_seconds=30"),
        ("sent to n as before",),
        ("sent to n (replica) as read, read-only", "guards read back, changed: a=0, b=no longer set"),
    ]


def test_a_send_like_the_one_before_is_told_with_its_end():
    other = msgspec.structs.replace(intent(3), account="elevated")
    told_lines = [
        passage.lines[0]
        for passage in narrate(
            entries(
                *(record for one in (intent(1), intent(2), other) for record in (one, ended(one.statement, rows=1)))
            )
        )
    ]
    assert told_lines[2:] == [
        "#2 done on n: 1 row in 0.000 s",
        "sent to n (replica) as elevated, read-only",
        "#3 done: 1 row in 0.000 s",
    ]
    aside = [passage.lines[0] for passage in narrate(entries(intent(1), intent(2), Noticed(what="told"), ended(2)))]
    assert aside[1:4] == ["sent to n as before", "told", "#2 done: 0 rows in 0.000 s"]


def test_a_plain_permission_is_told_with_the_send_that_used_it():
    permission = msgspec.structs.replace(decided(), message="")
    together = [passage.lines[0] for passage in narrate(entries(asked(), permission, intent(), ended()))]
    assert together[1] == "sent to n (replica, s) as read, read-only; allowed by r"
    elsewhere = msgspec.structs.replace(permission, node="m")
    for apart in ((elsewhere, intent()), (permission, intent(2)), (permission, asked(2)), (permission,)):
        assert [passage.lines[0] for passage in narrate(entries(*apart))][0].startswith("allow by r: ")


def test_the_reason_of_an_elevation_is_told_when_it_is_asked_for_and_when_it_differs():
    other = msgspec.structs.replace(elevation("revoked"), reason="else")
    told_lines = [passage.lines for passage in narrate(entries(elevation("asked"), elevation(), other))]
    assert ["reason: stuck (INC-7)" in lines for lines in told_lines] == [True, False, False]
    assert "reason: else (INC-7)" in told_lines[2]
