"""Heavy statements of several consoles on one node: the server itself counts them."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from safeconsole.errors import DeniedError, NoFitNodeError
from tests.harness.desk import Shown, seated
from tests.harness.talking import threads_running, wait_for

# A plain read of some million rows: a second of work, and more than the baseline's million.
# Their aliases are theirs alone: tests of other files run on the same servers at the same time.
HEAVY = "SELECT COUNT(*) FROM orders a JOIN orders turns WHERE turns.id < 1500 AND a.total + turns.total < 0"
LONG = "SELECT COUNT(*) FROM orders a JOIN orders b JOIN orders slots WHERE a.total + b.total + slots.total < 0"
LIGHT = "SELECT COUNT(*) FROM orders WHERE id < 10"


@pytest.fixture
def sit_down(cluster, tmp_path):
    """A function that opens one more console on the last replica, where tests of other files hold no slots."""
    opened = []

    def sit(name, **slots):
        context = seated(cluster, tmp_path / name, gates=slots, to="replica-2")
        opened.append(context)
        return context.__enter__()

    yield sit
    for context in opened:
        context.__exit__(None, None, None)


def ask(desk, text):
    """Run one statement and return what was shown."""
    shown = Shown()
    (statement,) = desk.session.split(text)
    shown.run(desk.session, statement)
    return shown


def told_of_slots(desk):
    return [record["detail"] for record in desk.records("notice") if record["what"].startswith("slot")]


def test_consoles_that_know_nothing_of_each_other_take_turns(cluster, sit_down):
    desks = [sit_down(f"desk-{number}", at_once=1, wait_seconds=60) for number in range(3)]
    most, shown = [0], {}
    done = threading.Event()

    def look():
        while not done.is_set():
            most[0] = max(most[0], threads_running(cluster, cluster.replicas[1], "JOIN orders turns"))
            time.sleep(0.01)

    looker = threading.Thread(target=look)
    looker.start()
    threads = [threading.Thread(target=lambda desk=desk: shown.update({desk: ask(desk, HEAVY)})) for desk in desks]
    for thread in threads:
        thread.start()
    # What is not heavy waits for nobody.
    light = sit_down("light", at_once=1, wait_seconds=60)
    assert ask(light, LIGHT).table == [(9,)]
    for thread in threads:
        thread.join()
    done.set()
    looker.join()
    assert most == [1]
    assert [each.table for each in shown.values()] == [[(0,)]] * 3
    waited = [each for each in shown.values() if each.waited]
    assert len(waited) == 2
    assert all("Ctrl-C leaves" in line for each in waited for line in each.waited)
    assert sorted(len(told_of_slots(desk)) for desk in desks) == [1, 2, 2]


def test_who_waited_long_enough_is_told_who_is_in_the_way(cluster, sit_down):
    first, second = (sit_down(name, at_once=1, wait_seconds=1) for name in ("first", "second"))
    running = threading.Thread(target=lambda: first.error_of(LONG))
    first.session.tighten("run_seconds", 5)
    running.start()
    wait_for(lambda: threads_running(cluster, cluster.replicas[1], "JOIN orders slots"))
    with pytest.raises(NoFitNodeError, match="already runs 1 heavy statement") as caught:
        ask(second, LONG)
    assert "slot safeconsole.heavy.1: connection " in caught.value.evidence[0]
    assert threads_running(cluster, cluster.replicas[1], "JOIN orders slots") == 1
    running.join()
    # The slot of a statement that was stopped is free again.
    second.session.tighten("run_seconds", 0.5)
    assert second.error_of(LONG).ceiling == "run_seconds"


def test_a_console_that_died_frees_its_slot_when_its_statement_is_over(cluster, sit_down, tmp_path):
    second = sit_down("second", at_once=1, wait_seconds=60)
    with seated(cluster, tmp_path / "dying", gates={"at_once": 1}, to="replica-2"):
        pass
    command = (sys.executable, "-m", "safeconsole", "--config", str(tmp_path / "dying" / "config.toml"))
    dying = subprocess.Popen(
        (*command, "sql", "shop", "--to", "replica-2", "--timeout", "3", "-e", LONG),
        env={**os.environ, "HOME": str(tmp_path / "dying"), "USER": "ada"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: threads_running(cluster, cluster.replicas[1], "JOIN orders slots"))
    dying.send_signal(signal.SIGKILL)
    dying.wait()
    started = time.monotonic()
    shown = ask(second, HEAVY)
    assert shown.table == [(0,)]
    # The server's cap ends what the dead console left, and the slot goes with it.
    assert time.monotonic() - started < 40
    assert threads_running(cluster, cluster.replicas[1], "JOIN orders slots") == 0


@pytest.mark.parametrize(
    "text",
    [
        "SELECT GET_LOCK('safeconsole.heavy.1', 0)",
        "DO RELEASE_LOCK('Safeconsole.heavy.1')",
        "SELECT RELEASE_ALL_LOCKS()",
        "SELECT GET_LOCK(CONCAT('safeconsole', '.heavy.1'), 0)",
    ],
)
def test_nobody_takes_or_frees_a_slot_by_hand(sit_down, text):
    desk = sit_down("desk")
    with pytest.raises(DeniedError, match="named locks that begin with safeconsole"):
        ask(desk, text)


def test_a_lock_of_ones_own_can_still_be_had(sit_down):
    desk = sit_down("desk")
    desk.session.use("primary")
    assert ask(desk, "SELECT GET_LOCK('mine', 0), RELEASE_LOCK('mine')").table == [(1, 1)]
