"""A schema change under `strict`: somebody else approves it, from an account of their own, through a directory."""

import json
import shutil
from pathlib import Path

import pytest

from safeconsole.config.policies import PolicyFiles

JUSTIFICATION = ("--reason", "slow report", "--ticket", "OPS-7", "--confirm", "shop")


def add(column):
    return f"ALTER TABLE customers ADD COLUMN {column} TEXT"


def ask(people, sql, *words, **environ):
    console = people.ann.start("sql", "shop", "-e", sql, *(words or JUSTIFICATION), **environ)
    return console if environ else console.vouched()


def approve(people, code, *words, **environ):
    return people.ben.run("approve", code, *(words or ("--confirm", "shop")), **environ)


@pytest.mark.parametrize(("kind", "keys"), [("names", "keyring"), ("users", "file"), ("users", "keyring")])
def test_a_schema_change_runs_when_somebody_else_approved_it(teams, receiver, kind, keys):
    people = teams(kind)
    people.configure(keys=keys, webhook=receiver.url)
    console = ask(people, add(f"by_{keys}"))
    told = approve(people, console.code())
    assert told.returncode == 0, told.stderr
    for part in (
        people.ann.name,
        "shop (demo) primary",
        f"ADD COLUMN by_{keys}",
        "slow report",
        "OPS-7",
        "schema-changes",
    ):
        assert part in told.stderr
    code, _ = console.end()
    assert code == 0, console.messages
    records = people.records()
    (approved,) = [record for record in records if record["type"] == "approval"]
    (intent,) = [record for record in records if record["type"] == "intent"]
    assert (approved["approver"], approved["answer"], approved["request"]) == (
        people.ben.name, "approved", intent["elevation"],
    )  # fmt: skip
    assert receiver.wait(5) == ["asked", "about to be granted", "granted", "used", "ended (expired)"]
    assert f"by_{keys}" in people.columns()
    verified = people.ann.run("audit", "verify")
    assert verified.returncode == 0, verified.stdout


def test_nobody_approves_their_own_and_an_interrupt_gives_up(people):
    console = ask(people, add("own"))
    own = people.ann.run("approve", console.code(), "--confirm", "shop")
    assert own.returncode == 3
    assert "ann cannot approve what ann asked for" in own.stderr
    console.interrupt()
    assert console.end()[0] == 3
    assert "no second person approved it: interrupted" in console.messages
    assert not list(people.shared.glob("*.request"))
    assert "own" not in people.columns()


@pytest.mark.parametrize("words", [("--confirm", "Shop"), ("--confirm", ""), ("--confirm", "till")])
def test_who_does_not_type_the_cluster_has_not_approved(people, words):
    console = ask(people, add("untyped"))
    told = approve(people, console.code(), *words)
    assert (told.returncode, told.stdout) == (3, "")
    console.interrupt()
    assert console.end()[0] == 3


def test_an_approval_counts_once_and_for_nothing_else(people):
    first = ask(people, add("once"))
    name = first.code()
    assert approve(people, name).returncode == 0
    assert first.end()[0] == 0
    again = approve(people, name)
    assert again.returncode == 2
    assert f"there is no request {name}" in again.stderr
    for column in ("once_more", "twice"):
        second = ask(people, add(column))
        shutil.copy(people.shared / f"{name}.answer", people.shared / f"{second.code()}.answer")
        assert second.end()[0] == 3
        assert "it answers another request" in second.messages
    assert {"once_more", "twice"}.isdisjoint(people.columns())


def test_a_statement_that_was_edited_needs_an_approval_of_its_own(people):
    console = ask(people, f"{add('approved')}; {add('sneaked')}")
    assert approve(people, console.code()).returncode == 0
    console.vouched()
    console.until(r"(?s)approve \S+\s.*approve \S+\s")
    console.interrupt()
    assert console.end()[0] == 3
    assert "approved" in people.columns()
    assert "sneaked" not in people.columns()


def test_a_second_answer_to_one_request_is_refused(people):
    console = ask(people, add("answered"))
    name = console.code()
    kept = (people.shared / f"{name}.request").read_text().strip()
    assert approve(people, name).returncode == 0
    told = approve(people, kept)
    assert told.returncode == 3
    assert "answered already" in told.stderr
    assert console.end()[0] == 0


def test_after_its_time_a_request_is_neither_signed_nor_waited_for(people, receiver):
    people.configure(keys="file", webhook=receiver.url, wait_seconds=4)
    console = ask(people, add("late"))
    kept = (people.shared / f"{console.code()}.request").read_text().strip()
    assert console.end()[0] == 3
    assert "no second person approved it" in console.messages
    told = approve(people, kept)
    assert told.returncode == 3
    assert "expired" in told.stderr
    assert "late" not in people.columns()


def test_without_a_directory_request_and_answer_are_pasted(people, receiver):
    people.configure(keys="file", webhook=receiver.url, directory=False)
    console = ask(people, add("pasted"))
    told = approve(people, console.code())
    assert told.returncode == 0, told.stderr
    console.until("paste their answer")
    console.type(told.stdout.strip())
    assert console.end()[0] == 0, console.messages
    assert "pasted" in people.columns()


def test_what_is_pasted_for_another_request_does_not_count(people, receiver):
    people.configure(keys="file", webhook=receiver.url, directory=False)
    first = ask(people, add("first"))
    told = approve(people, first.code())
    first.until("paste their answer")
    first.type("")
    assert first.end()[0] == 3
    second = ask(people, add("second"))
    second.until("paste their answer")
    second.type(told.stdout.strip())
    assert second.end()[0] == 3
    assert "it answers another request" in second.messages


# Going without.


def test_an_emergency_goes_without_only_loudly_and_where_the_policy_says_so(people, receiver):
    own = people.ann.home / "mine.yaml"
    strict = Path(PolicyFiles().load("strict").source).read_text(encoding="utf-8")
    own.write_text(strict.replace("approval_may_be_skipped: false", "approval_may_be_skipped: true"))
    people.configure(keys="file", webhook=receiver.url, policy=str(own))
    console = ask(people, add("skipped"))
    console.code()
    console.interrupt()
    console.until('type "skip shop"')
    console.type("skip shop")
    assert console.end()[0] == 0, console.messages
    assert "nobody approved it; in an emergency it can run without approval" in console.messages
    assert "ben" in console.messages.partition("nobody approved it")[2]
    assert "approval skipped" in receiver.wait(6)
    (skipped,) = [record for record in people.records() if record["type"] == "approval"]
    assert (skipped["answer"], skipped["approver"], skipped["key"]) == ("skipped", "ben", "")
    assert "skipped" in people.columns()


def test_under_strict_nobody_is_offered_to_go_without(people):
    console = ask(people, add("unspared"))
    console.code()
    console.interrupt()
    assert console.end()[0] == 3
    assert "skip" not in console.messages


# Agents.


def test_an_agent_gets_nothing_but_reads(people, receiver):
    agent = {"CLAUDECODE": "1"}
    console = ask(people, add("by_agent"), **agent)
    assert console.end()[0] == 4
    assert "an agent may only read here" in console.messages
    read = people.ann.start("sql", "shop", "-e", "SELECT COUNT(*) FROM orders", **agent)
    assert read.end()[0] == 0, read.messages
    code = f"with elevate(reason='r', ticket='OPS-7'): db.sql({add('by_agent')!r})"
    window = people.ann.start("python", "shop", "-c", code, "--confirm", "shop", **agent)
    assert window.end()[0] != 0
    assert "an agent (claude-code) cannot elevate by itself" in window.messages
    assert "by_agent" not in people.columns()
    assert receiver.got == []


def test_an_agent_is_nobodys_second_person(people):
    console = ask(people, add("robots"))
    told = approve(people, console.code(), CLAUDECODE="1")
    assert told.returncode == 3
    assert "an agent (claude-code) cannot approve" in told.stderr
    console.interrupt()
    assert console.end()[0] == 3


# Before anybody is asked, others must have been told.


def test_a_change_waits_for_the_notice_that_strict_demands(people, receiver):
    receiver.status = 500
    console = ask(people, add("untold"))
    assert approve(people, console.code()).returncode == 0
    assert console.end()[0] == 3
    assert "it was not delivered: webhook: webhook 127.0.0.1" in console.messages
    assert [record["detail"] for record in people.records() if record["type"] == "notice"][:1] != []
    assert "untold" not in people.columns()
    assert json.dumps(receiver.got) == "[]"
