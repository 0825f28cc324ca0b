"""The same read on many clusters: each by itself, none lost, and none begun after one was hurt."""

import io
import json
import os
import threading
import time

import pytest

from safeconsole.cli.application import EXIT_CODES, exit_code_of
from safeconsole.errors import ConfigurationError, NoFitNodeError, OutcomeUnknownError, ServerError, StoppedError
from safeconsole.demo.stage import staged


from safeconsole.config.settings import ClusterSettings
from safeconsole.fleet import ClusterOutcome, clusters_named, over_clusters
from safeconsole.fleet import Underway
from safeconsole.cli.fleet import tell_members
from safeconsole.output.text import StreamStyle
from safeconsole.output.presenting import Screen
from safeconsole.app import run
from safeconsole import fleet as fleet_module
from safeconsole import fleet as underway_module

KNOWN = {
    "orders-us": ClusterSettings(nodes=("a:1",), labels=("orders",)),
    "orders-eu": ClusterSettings(nodes=("b:1",), labels=("orders", "eu")),
    "web": ClusterSettings(nodes=("c:1",), labels=("eu",)),
}


@pytest.mark.parametrize(
    ("patterns", "clusters"),
    [
        (("orders-*",), ("orders-eu", "orders-us")),
        (("web", "*"), ("orders-eu", "orders-us", "web")),
        (("web",), ("web",)),
        (("@eu",), ("orders-eu", "web")),
        (("@orders", "web"), ("orders-eu", "orders-us", "web")),
    ],
)
def test_patterns_name_clusters_each_once(patterns, clusters):
    assert clusters_named(patterns, KNOWN) == clusters


def test_a_pattern_that_names_none_is_an_error_even_beside_one_that_does():
    with pytest.raises(ConfigurationError, match="orders-asia"):
        clusters_named(("web", "orders-asia*"), KNOWN)
    with pytest.raises(ConfigurationError, match="label asia") as caught:
        clusters_named(("@asia",), KNOWN)
    assert "eu, orders" in caught.value.instead


def test_what_fails_on_one_cluster_is_told_and_the_others_go_on():
    def work(cluster):
        if cluster == "b":
            raise ServerError(1146, "no such table")
        return cluster.upper()

    found = {member.cluster: member for member in over_clusters("abcd", work)}
    assert {name: member.found for name, member in found.items()} == {"a": "A", "b": None, "c": "C", "d": "D"}
    assert exit_code_of(found["b"].error) == 1


@pytest.mark.parametrize("breach", [StoppedError("stopped", by="watchdog"), OutcomeUnknownError("lost")])
def test_after_a_breach_no_further_cluster_is_begun(breach):
    begun = []

    def work(cluster):
        begun.append(cluster)
        if cluster == "b":
            raise breach
        return 1

    found = {member.cluster: member for member in over_clusters("abcdef", work, at_once=1)}
    assert begun == ["a", "b"]
    assert [name for name, member in sorted(found.items()) if not member.begun] == ["c", "d", "e", "f"]


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_no_more_clusters_than_asked_for_are_worked_on_at_a_time(at_once):
    lock, now, most = threading.Lock(), 0, 0

    def work(_cluster):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1

    assert len(list(over_clusters("abcdefgh", work, at_once=at_once))) == 8
    assert most == at_once


def test_when_nobody_takes_the_results_any_more_nothing_further_begins():
    begun = []

    def work(cluster):
        begun.append(cluster)
        time.sleep(0.05)

    members = over_clusters("abcdefgh", work, at_once=1)
    next(members)
    members.close()
    assert len(begun) <= 3


def test_at_the_persons_word_what_is_under_way_is_stopped_and_told_and_nothing_further_begins():
    underway, begun, stopped = Underway(), [], threading.Event()

    def stop():
        stopped.set()
        return "killed"

    def work(cluster):
        begun.append(cluster)
        if cluster == "a":
            return 1
        with underway.holding(stop):
            underway.interrupt()
            assert stopped.wait(10)
            raise StoppedError("stopped", by="person", verified="killed")

    found = {member.cluster: member for member in over_clusters("abcd", work, at_once=1, underway=underway)}
    assert begun == ["a", "b"]
    assert (found["a"].found, found["b"].error.verified) == (1, "killed")
    assert not found["c"].begun
    assert not found["d"].begun


def test_what_was_opened_after_the_word_is_told_too():
    underway, told = Underway(), []
    underway.stop()
    with underway.holding(lambda: told.append(1) or "already over"):
        assert told == [1]
    with pytest.raises(StoppedError):
        underway.rest(60)


def test_what_a_first_telling_did_not_meet_is_told_again_until_it_is_through(monkeypatch):
    monkeypatch.setattr(underway_module, "INSIST_SECONDS", 0.01)
    underway, tellings, met = Underway(), [], threading.Event()

    def stop():
        tellings.append(1)
        if len(tellings) == 3:
            met.set()
        return "already over"

    def work(_cluster):
        with underway.holding(stop):
            underway.interrupt()
            assert met.wait(10)
        return 1

    assert [member.found for member in over_clusters("a", work, underway=underway)] == [1]


def test_who_asks_again_leaves_what_does_not_end_and_it_is_named(monkeypatch):
    monkeypatch.setattr(fleet_module, "LEAVE_SECONDS", 0.05)
    underway, never = Underway(), threading.Event()

    def work(cluster):
        if cluster == "a":
            return 1
        underway.interrupt()
        underway.interrupt()
        never.wait(30)

    found = {member.cluster: member for member in over_clusters("ab", work, underway=underway)}
    never.set()
    assert found["a"].found == 1
    assert (found["b"].error.by, found["b"].error.verified) == ("person", "missed")


def test_a_mistake_of_our_own_is_not_taken_for_a_cluster_that_failed():
    def work(_cluster):
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        list(over_clusters("abc", work))


def test_what_is_told_after_ctrl_c_begins_on_a_line_of_its_own():
    underway, messages = Underway(), io.StringIO()
    screen = Screen(
        data=io.StringIO(), messages=messages, messages_style=StreamStyle(terminal=True, decorated=False, columns=80)
    )
    members = [
        ClusterOutcome(cluster="a", found=1),
        ClusterOutcome(cluster="b", begun=False),
        ClusterOutcome(cluster="c", begun=False),
    ]
    tell_members(members, screen, underway)
    assert messages.getvalue().startswith("b: not started: another cluster ran into a limit\n")
    underway.interrupt()
    messages.truncate(0)
    messages.seek(0)
    tell_members(members, screen, underway)
    assert messages.getvalue().splitlines() == [
        "", "b: not started: you stopped it", "c: not started: you stopped it", "1 of 3 clusters answered",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    with staged("embedded") as up:
        directory = tmp_path_factory.mktemp("fleet")
        names = ("shop-eu", "shop-us")
        text = "".join(
            f'[clusters.{name}]\nengine = "sqlite"\nnodes = {json.dumps(list(up.nodes))}\nenvironment = "test"\n'
            for name in names
        )
        text += f'[clusters.gone]\nengine = "sqlite"\nnodes = ["{directory}/nothing.db"]\n[audit]\ndirectory = "{directory}/audit"\n'
        path = directory / "config.toml"
        path.write_text(text)
        until = time.monotonic() + 30
        while run(["--config", str(path), "topology", "shop-eu", "--format", "json"], dict(os.environ)):
            assert time.monotonic() < until
            time.sleep(0.1)
        yield path


@pytest.fixture
def typed(config, capfd):
    def type_it(*arguments):
        capfd.readouterr()
        code = run(["--config", str(config), "fleet", *arguments], dict(os.environ))
        return code, *capfd.readouterr()

    return type_it


def test_rows_of_all_clusters_come_under_one_head(typed):
    code, out, err = typed("shop-*", "-e", "SELECT id, country FROM customers WHERE id < 3", "--format", "csv")
    assert code == 0
    head, *rows = out.splitlines()
    assert head == "cluster,id,country"
    assert sorted(row.split(",")[:2] for row in rows) == [
        ["shop-eu", "1"],
        ["shop-eu", "2"],
        ["shop-us", "1"],
        ["shop-us", "2"],
    ]
    assert "2 of 2 clusters answered" in err


def test_a_cluster_that_cannot_be_asked_is_named_and_the_others_answer(typed):
    code, out, err = typed("*", "-e", "SELECT 1 AS one", "--format", "jsonl")
    assert code == EXIT_CODES[NoFitNodeError]
    assert sorted(json.loads(line)["cluster"] for line in out.splitlines()) == ["shop-eu", "shop-us"]
    assert "gone: " in err
    assert "2 of 3 clusters answered" in err


def test_nothing_is_changed_on_any_cluster(typed):
    code, out, err = typed("shop-*", "-e", "DELETE FROM orders")
    assert code == 4
    assert out == ""
    assert err.count("a replica must not be changed") >= 2
    assert (
        typed("shop-eu", "-e", "SELECT COUNT(*) FROM orders", "--format", "tsv")[1].splitlines()[1] == "shop-eu\t5000"
    )


def test_every_cluster_has_a_journal_of_its_own(typed, config):
    typed("shop-*", "-e", "SELECT 1 AS marked_for_each_cluster")
    with_it = [
        path
        for path in (config.parent / "audit").rglob("*.jsonl")
        if "marked_for_each_cluster" in path.read_text(errors="replace")
    ]
    assert len([path for path in with_it if path.name != "host.jsonl"]) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("shop-*",),
        ("shop-*", "-e", "SELECT 1", "-f", "x.sql"),
        ("shop-*", "-e", "SELECT 1; SELECT 2"),
        ("x*", "-e", "SELECT 1"),
    ],
)
def test_what_is_no_one_statement_for_known_clusters_is_refused(typed, arguments):
    code, out, _ = typed(*arguments)
    assert (code, out) == (2, "")


@pytest.fixture
def capacity(config, capfd, tmp_path):
    def type_it(*arguments):
        capfd.readouterr()
        environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
        code = run(["--config", str(config), "capacity", *arguments], environ)
        return code, *capfd.readouterr()

    return type_it


def test_the_largest_tables_of_many_clusters_stand_together(capacity):
    code, out, err = capacity("shop-*", "--top", "4", "--format", "json")
    assert code == 0
    rows = json.loads(out)
    assert sorted((row["cluster"], row["table"]) for row in rows) == [
        ("shop-eu", "order_items"), ("shop-eu", "orders"), ("shop-us", "order_items"), ("shop-us", "orders"),
    ]  # fmt: skip
    assert [row["total_bytes"] for row in rows] == sorted((row["total_bytes"] for row in rows), reverse=True)
    assert "2 of 2 clusters answered" in err


def test_a_cluster_without_a_report_is_named_and_the_others_are_shown(capacity):
    code, out, err = capacity("*", "--by", "schema")
    assert code == EXIT_CODES[NoFitNodeError]
    assert "shop-eu main" in out
    assert "gone: " in err


@pytest.mark.parametrize(
    "option", [("--leftovers",), ("--since", "7d"), ("--verify", "2"), ("--html", "x"), ("--to", "primary")]
)
def test_what_is_of_one_cluster_is_refused_for_many(capacity, option):
    code, out, err = capacity("shop-*", *option)
    assert (code, out) == (2, "")
    assert "one cluster at a time" in err
