import io

import pytest

from safeconsole.policy.readings import Gates, Identity, Reading
from safeconsole.sqltext.vocabulary import NodeName, Role
from safeconsole.output.formats import render
from safeconsole.output.text import StreamStyle, stream_style
from safeconsole.output.evidence import TOPOLOGY_COLUMNS, topology_rows, topology_text

READINGS = (
    Reading(
        node=NodeName("replica-1"), role=Role.REPLICA, proof="replicates from primary", replicating=True, lag_seconds=0.2,
        identity=Identity(server="u-2", address="127.0.0.1:3307"), version="9.7.4", threads_running=2,
        used_memory_bytes=1 << 29, tags=frozenset({"console"}),
    ),
    Reading(node=NodeName("replica-2"), role=Role.REPLICA, proof="replicates from primary", replicating=True, lag_seconds=95,
            found="copies from primary"),
    Reading(node=NodeName("gone"), unreachable="connection refused \x1b[2J"),
    Reading(node=NodeName("odd"), proof="writable, and replicates"),
    Reading(
        node=NodeName("primary"), role=Role.PRIMARY, proof="writable, 2 replicas registered",
        identity=Identity(server="u-1", address="127.0.0.1:3306"), version="9.7.4", threads_running=3, free_memory_bytes=1 << 31,
        unseen="whether others copy from it cannot be seen: list every node",
    ),
)  # fmt: skip


def test_the_plain_topology_reads_as_its_golden_text(golden):
    golden("topology.txt", topology_text("shop", READINGS, Gates()))


def test_the_tree_reads_as_its_golden_text(golden, decorated):
    golden("topology.decorated.txt", topology_text("shop", READINGS, Gates(), decorated))


def test_rows_hold_numbers_for_programs(golden):
    golden("topology.jsonl", render(TOPOLOGY_COLUMNS, topology_rows(READINGS, Gates()), "jsonl"))


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Latin1(Terminal):
    encoding = "latin-1"


@pytest.mark.parametrize(
    ("environ", "stream", "decorated"),
    [
        ({"TERM": "xterm"}, Terminal(), True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, Terminal(), False),
        ({"TERM": "xterm", "SAFECONSOLE_PLAIN": "1"}, Terminal(), False),
        ({"TERM": "dumb"}, Terminal(), False),
        ({}, Terminal(), False),
        ({"TERM": "xterm"}, Latin1(), False),
        ({"TERM": "xterm"}, io.StringIO(), False),
    ],
)
def test_a_terminal_is_decorated_only_where_it_may_and_can_be(environ, stream, decorated):
    assert stream_style(stream, environ).decorated is decorated


def test_the_width_comes_from_the_environment_or_is_eighty():
    assert stream_style(Terminal(), {"TERM": "xterm", "COLUMNS": "132"}) == StreamStyle(
        terminal=True, decorated=True, columns=132
    )
    assert stream_style(Terminal(), {"COLUMNS": "0"}).columns == 80
    assert stream_style(io.StringIO(), {"COLUMNS": "132"}).columns == 0
