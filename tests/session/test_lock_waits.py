"""Who blocks whom, out of what servers list: values as MySQL 9.7 and MariaDB 10.11 give them."""

import pytest

from safeconsole.session.locks import (
    LockSession,
    explained_by_holders,
    freed_by,
    held_of,
    row_waits,
    table_waits,
    who_blocks,
)

ROW = {
    "waiting": 31, "blocking": 30, "schema": "shop", "name": "orders", "index_name": "PRIMARY", "kind": "RECORD",
    "mode": "X,REC_NOT_GAP", "value": "42", "instrumented": 1,
}  # fmt: skip


def lock(id_, mode, status="GRANTED", name="orders", kind="TABLE"):
    return {"id": id_, "kind": kind, "schema": "shop", "name": name, "mode": mode, "status": status}


def session(id_, *, age=None, seconds=0, command="Query", statement="x", last=""):
    return {
        "id": id_, "user": "app", "host": "10.0.0.5:4711", "command": command, "seconds": seconds, "state": "",
        "statement": statement, "last_statement": last, "transaction_seconds": age,
    }  # fmt: skip


def holders(rows):
    return {waiting: sorted(those) for waiting, those in table_waits(rows).holders.items()}


def test_a_row_names_its_table_index_and_value():
    assert row_waits([ROW]).waits == {31: "row of shop.orders, PRIMARY 42"}
    assert row_waits([ROW | {"schema": "", "name": "`shop`.`orders`"}]).waits == {31: "row of shop.orders, PRIMARY 42"}
    assert row_waits([ROW | {"kind": "TABLE", "index_name": None, "value": None}]).waits == {31: "table shop.orders"}


def test_who_waits_for_a_row_that_nobody_is_named_for_is_unexplained():
    """As with performance_schema = OFF: the transaction is seen to wait, and its lock is not."""
    found = row_waits([ROW | {"blocking": None, "kind": None, "name": None, "schema": None}])
    assert (found.waits, found.unexplained) == ({31: "a row"}, {31})


def test_a_read_waits_for_the_alter_that_waits_before_it_and_not_for_the_writer():
    rows = [
        lock(30, "SHARED_WRITE"),
        lock(32, "SHARED_UPGRADABLE"),
        lock(32, "EXCLUSIVE", "PENDING"),
        lock(33, "SHARED_READ", "PENDING"),
    ]
    assert holders(rows) == {32: [30], 33: [32]}


def test_locks_of_other_tables_hold_nobody_up():
    rows = [lock(30, "EXCLUSIVE", name="customers"), lock(31, "SHARED_WRITE"), lock(32, "EXCLUSIVE", "PENDING")]
    assert holders(rows) == {32: [31]}


@pytest.mark.parametrize(
    ("held", "asked", "waits"),
    [
        ("SHARED_READ", "SHARED_READ", False),
        ("SHARED_READ", "SHARED_WRITE", False),
        ("SHARED_NO_READ_WRITE", "SHARED_READ", True),
        ("SHARED_READ_ONLY", "SHARED_WRITE", True),
        ("SHARED_UPGRADABLE", "SHARED_UPGRADABLE", True),
        ("SHARED_WRITE", "SHARED_NO_WRITE", True),
        ("EXCLUSIVE", "SHARED_HIGH_PRIO", True),
    ],
)
def test_only_a_mode_that_conflicts_holds_up(held, asked, waits):
    assert holders([lock(1, held), lock(2, asked, "PENDING")]) == {2: [1] if waits else []}


def test_a_global_read_lock_holds_up_who_would_write():
    rows = [lock(1, "SHARED", kind="GLOBAL"), lock(2, "INTENTION_EXCLUSIVE", "PENDING", kind="GLOBAL")]
    assert holders(rows) == {2: [1]}


def test_a_mode_that_nobody_knows_waits_for_whoever_holds_the_object():
    rows = [lock(1, "BACKUP_DML", kind="BACKUP"), lock(2, "BACKUP_FTWRL2", "PENDING", kind="BACKUP")]
    assert holders(rows) == {2: [1]}


def test_a_session_that_is_seen_to_wait_where_no_lock_is_listed_is_unexplained():
    seen = {"id": 33, "kind": "", "schema": "", "name": "", "mode": "Waiting for table metadata lock"}
    found = table_waits([seen | {"status": "SEEN WAITING"}])
    assert (found.waits, found.unexplained) == ({33: "table metadata lock"}, {33})


def test_the_plugin_of_mariadb_names_the_holders_of_the_statements_tables():
    seen = {"id": 33, "kind": "", "schema": "", "name": "", "mode": "Waiting for table metadata lock"}
    found = table_waits([seen | {"status": "SEEN WAITING"}])
    held = [
        {"id": 30, "schema": "shop", "name": "orders", "mode": "MDL_SHARED_WRITE"},
        {"id": 31, "schema": "shop", "name": "customers", "mode": "MDL_SHARED_WRITE"},
    ]
    explained_by_holders(found, held, lambda _: frozenset({"shop.orders"}))
    assert (found.waits, found.unexplained) == ({33: "metadata lock of table shop.orders"}, set())
    assert list(found.holders[33]) == [30]


def test_everybody_is_listed_with_the_oldest_transaction_first():
    waits = row_waits([ROW]), table_waits([lock(31, "SHARED_WRITE"), lock(32, "EXCLUSIVE", "PENDING")])
    known = [
        session(32, seconds=5),
        session(30, age=312, seconds=300, command="Sleep", statement=None, last="UPDATE orders"),
        session(31, age=45, seconds=44),
        session(99, age=9999),
    ]
    found = who_blocks(waits, known)
    assert [(each.id, each.age_seconds, each.waits_for, each.blocks) for each in found] == [
        (30, 312, (), 2),
        (31, 45, (30,), 1),
        (32, 5, (31,), 0),
    ]
    assert (found[0].lock, found[0].statement, found[0].idle) == (
        "holds row of shop.orders, PRIMARY 42",
        "UPDATE orders",
        True,
    )
    assert {each.host for each in found} == {"10.0.0.5"}


def test_a_kill_frees_who_waits_for_nobody_else():
    def waiting(id_, *holders):
        return LockSession(id=id_, user="app", host="", age_seconds=0, waits_for=holders)

    chain = (waiting(1), waiting(2, 1), waiting(3, 1, 2), waiting(4, 3), waiting(5, 9), waiting(9))
    assert freed_by(1, chain) == ((2,), (3, 4))
    assert freed_by(9, chain) == ((5,), ())
    assert freed_by(1, (waiting(1), waiting(2, 1, 7), waiting(7))) == ((), (2,))


def test_what_idle_sessions_hold_is_named():
    rows = [
        {"id": 7, "kind": "TABLE", "schema": "shop", "name": "orders"},
        {"id": 7, "kind": "TABLE", "schema": "shop", "name": "orders"},
        {"id": 7, "kind": "USER LEVEL LOCK", "schema": "", "name": "jobs"},
        {"id": 8, "kind": "GLOBAL", "schema": None, "name": None},
        {"id": 9, "schema": "shop", "name": "orders", "mode": "MDL_SHARED_WRITE"},
    ]
    assert held_of(rows) == {
        7: "shop.orders, named lock jobs",
        8: "the whole server (FLUSH TABLES WITH READ LOCK)",
        9: "shop.orders",
    }


def test_the_same_age_puts_who_waits_for_nobody_first():
    found = who_blocks((row_waits([ROW | {"waiting": 7}]),), [session(7, age=3), session(30, age=3)])
    assert [each.id for each in found] == [30, 7]


def test_two_that_wait_for_each_other_end():
    rows = [ROW, ROW | {"waiting": 30, "blocking": 31}]
    found = who_blocks((row_waits(rows),), [session(30, age=2), session(31, age=1)])
    assert [(each.id, each.blocks) for each in found] == [(30, 1), (31, 1)]


def test_a_prepared_transaction_has_no_session_to_kill():
    found = who_blocks((row_waits([ROW | {"blocking": 0}]),), [session(31, age=4)])
    assert [(each.id, each.user) for each in found] == [(31, "app"), (0, "XA")]
