"""The control connection of a node: one for all, a second one only while the first hangs."""

import threading
import time

import pytest
from msgspec.structs import replace

from safeconsole.dialects.mysql import MYSQL
from safeconsole.errors import UnreachableError
from safeconsole.mysql.control import PATIENCE_SECONDS, Control, Line
from safeconsole.mysql.dialling import NodeAddress
from safeconsole.mysql.guards import ServerSession
from safeconsole.mysql.measuring import Questions
from safeconsole.mysql.login import Login
from safeconsole.mysql.wire import ServerReply

PLACE = NodeAddress(host="db", ip="10.0.0.5", port=3306)
LOGIN = Login(
    host="db", ip="10.0.0.5", port=3306, socket="", account="reader", password="x", tls=None, connect_seconds=1.0
)


class OpenWire:
    """The end of a connection that is asked nothing."""

    has_ended = is_retired = False

    def __init__(self, ended):
        self._ended = ended

    def wait_at_most(self, seconds):
        pass

    def quit(self):
        self._ended.append(("quit", self))

    def discard(self):
        self._ended.append(("discarded", self))


class Node:
    """What opens connections, and counts them."""

    def __init__(self):
        self.opened, self.ended, self.before, self.server = [], [], [], "u-1"
        self.reachable = threading.Event()
        self.reachable.set()
        self.control = Control(self.open_line)

    def open_line(self, before, first):
        self.before.append(before)
        if not self.reachable.is_set():
            time.sleep(2 * PATIENCE_SECONDS)
            raise UnreachableError("it does not answer")
        said = ServerSession(
            guards={}, sql_mode="", character_set="utf8mb4", schema="", server=self.server, writable=False
        )
        line = Line(
            wire=OpenWire(self.ended),
            dialect=MYSQL,
            version=90_700,
            session=said,
            login=LOGIN,
            place=PLACE,
            questions=Questions(dialect=MYSQL),
        )
        self.opened.append(line)
        return line


@pytest.fixture
def node():
    return Node()


def ask(node, question=lambda line: line, **how):
    return node.control.ask(question, within_seconds=5.0, **how)


def beside(act):
    """Do something in a thread, and return it with what came of it."""
    came = []

    def run():
        try:
            came.append(act())
        except UnreachableError as error:
            came.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, came


def test_many_threads_are_answered_over_one_connection(node):
    threads = [beside(lambda: ask(node)) for _ in range(20)]
    for thread, _ in threads:
        thread.join(5)
    assert {id(line) for _, came in threads for line in came} == {id(node.opened[0])}
    assert len(node.opened) == 1


def test_a_question_that_hangs_is_passed_on_a_second_one_which_ends_with_the_first(node):
    hangs, asked = threading.Event(), threading.Event()
    first, _ = beside(lambda: ask(node, lambda line: (asked.set(), hangs.wait(20))))
    asked.wait(5)
    assert ask(node) is node.opened[1]
    assert ask(node) is node.opened[1]
    assert node.ended == []
    hangs.set()
    first.join(5)
    assert node.ended == [("quit", node.opened[1].wire)]
    assert ask(node) is node.opened[0]


def test_who_waits_while_the_node_cannot_be_reached_is_told_so_with_the_others(node):
    node.reachable.clear()
    began = time.monotonic()
    waiting = [beside(lambda: ask(node)) for _ in range(20)]
    for thread, came in waiting:
        thread.join(20)
        assert "it does not answer" in str(came[0])
    # Far fewer attempts than who asked: all who waited were told of the first two.
    assert len(node.before) < 6
    assert time.monotonic() - began < 20 * PATIENCE_SECONDS


def test_a_lost_connection_is_opened_again_once_and_by_the_login_that_it_had(node):
    line = ask(node)

    def lost(asked):
        if asked is line:
            raise OSError("it was reset")
        return asked

    assert ask(node, lost, server="u-1") is node.opened[1]
    assert node.before == [None, line]
    assert node.ended == [("discarded", line.wire)]


def test_another_server_is_not_asked_about_the_threads_of_the_first(node):
    ask(node)
    with pytest.raises(UnreachableError, match="another server"):
        ask(node, server="u-2")
    assert node.ended == []


def test_an_interrupted_question_leaves_no_answer_behind(node):
    with pytest.raises(KeyboardInterrupt):
        ask(node, lambda line: (_ for _ in ()).throw(KeyboardInterrupt))
    assert node.ended == [("discarded", node.opened[0].wire)]
    assert ask(node) is node.opened[1]


def test_a_closed_one_keeps_nothing_open(node):
    hangs, asked = threading.Event(), threading.Event()
    first, _ = beside(lambda: ask(node, lambda line: (asked.set(), hangs.wait(20))))
    asked.wait(5)
    node.control.close()
    assert node.ended == []
    hangs.set()
    first.join(5)
    assert node.ended == [("quit", node.opened[0].wire)]


def test_what_came_with_the_guards_is_for_the_question_that_opened_the_connection(node):
    told = [ServerReply(rows=[("7",)])]
    opening = node.open_line

    def open_line(before, first):
        assert first(MYSQL) == ("SELECT 7",)
        return replace(opening(before, first), first=told)

    node.control = Control(open_line)
    assert ask(node, lambda line: line.first, first=lambda dialect: ("SELECT 7",)) == told
    assert ask(node, lambda line: line.first, first=lambda dialect: ("SELECT 8",)) == []
