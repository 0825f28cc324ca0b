"""What looks like a transaction is one, or is refused; and what becomes of it is never guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import BEGINS, NEEDS_ONE, begins, begins_anew, begins_writing
from safeconsole.session.transactions import (
    TRANSITIONS,
    UNDOING,
    TransactionEvent,
    TransactionState,
    begun,
    next_state,
    objection,
    place_of,
    route_within,
    told,
    way_out,
)
from safeconsole.policy.policy import TransactionSettings
from safeconsole.sqltext.vocabulary import Account, Flavour, Route

RULES = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90_700)
FINAL = {TransactionState.OVER, TransactionState.COMMITTED, TransactionState.ROLLED_BACK, TransactionState.UNKNOWN}
OPEN = {TransactionState.READING, TransactionState.WRITING}
SETTINGS = TransactionSettings(read_idle_seconds=30, write_idle_seconds=10)


def read(text, flavour=Flavour.MYSQL):
    (statement,) = analyse(text, LexicalRules(dialect=DIALECTS[flavour], version=90_700), schema="shop")
    return statement


def opened(*, writes):
    account = Account.ELEVATED if writes else Account.READ
    return begun("primary" if writes else "replica-1", account, SETTINGS, now_seconds=100.0)


READS, WRITES = opened(writes=False), opened(writes=True)


# The table.


@given(st.sampled_from(TransactionState), st.sampled_from(TransactionEvent))
def test_a_step_that_is_not_in_the_table_is_refused(state, event):
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(ValueError, match=f"that is {state} cannot meet {event}"):
            next_state(state, event)


def test_ends_are_final_and_whatever_happens_ends_what_is_open():
    assert not [pair for pair in TRANSITIONS if pair[0] in FINAL]
    begins_one = {TransactionEvent.BEGAN_READING, TransactionEvent.BEGAN_WRITING}
    for state in OPEN:
        for event in set(TransactionEvent) - begins_one - {TransactionEvent.WENT_ON}:
            assert next_state(state, event) in FINAL


@given(st.lists(st.sampled_from(TransactionEvent), max_size=15))
def test_only_a_commit_of_the_persons_keeps_a_change(events):
    """Whatever happens in whatever order: what is called committed met COMMITTED, what is unknown met a doubt."""
    state, met = TransactionState.NONE, []
    for event in events:
        if (state, event) in TRANSITIONS:
            state = next_state(state, event)
            met.append(event)
    if state is TransactionState.COMMITTED:
        assert (met[0], met[-1]) == (TransactionEvent.BEGAN_WRITING, TransactionEvent.COMMITTED)
    if state is TransactionState.UNKNOWN:
        assert met[-1] in {TransactionEvent.COMMIT_LOST, TransactionEvent.VANISHED}
    if state is TransactionState.ROLLED_BACK:
        assert met[-1] in UNDOING
    if met and met[0] is TransactionEvent.BEGAN_READING:
        assert state in {TransactionState.READING, TransactionState.OVER}


# Its values.


def test_idling_counts_from_the_last_statement():
    later = WRITES.went_on(107.0, changed_rows=3)
    assert not WRITES.is_idle_at(110.0)
    assert WRITES.is_idle_at(110.1)
    assert not later.is_idle_at(117.0)
    assert later.is_idle_at(117.1)
    assert (later.statements, later.changed_rows, later.began_seconds) == (1, 3, 100.0)
    assert READS.idle_seconds == 30


@given(st.lists(st.integers(min_value=0, max_value=1000), max_size=8))
def test_statements_and_rows_are_counted(changes):
    transaction = WRITES
    for changed in changes:
        transaction = transaction.went_on(101.0, changed_rows=changed)
    assert (transaction.statements, transaction.changed_rows) == (len(changes), sum(changes))


def test_where_it_is_open_names_the_elevated_account():
    assert (READS.place, WRITES.place) == ("replica-1", "primary (elevated)")
    assert (READS.writes, WRITES.writes) == (False, True)
    assert (READS.state, WRITES.state) == (TransactionState.READING, TransactionState.WRITING)


@pytest.mark.parametrize("event", sorted(UNDOING))
def test_what_was_undone_says_why_and_how_much(event):
    line = told(WRITES.went_on(101.0, changed_rows=1234), event)
    assert line.startswith("the transaction on primary (elevated) was rolled back: ")
    assert UNDOING[event] in line
    assert line.endswith("1 statement, 1,234 rows changed, all undone")
    assert told(READS, event) == f"the transaction of reads on replica-1 is over: {UNDOING[event]}"


def test_what_stays_and_what_is_in_doubt_is_said():
    assert told(WRITES, TransactionEvent.COMMITTED).endswith("is committed: 0 statements, 0 rows changed")
    for event in (TransactionEvent.COMMIT_LOST, TransactionEvent.VANISHED):
        assert "is not known" in told(WRITES, event)
        assert "look at the data" in told(WRITES, event)
    assert told(READS, TransactionEvent.COMMITTED) == "the transaction of reads on replica-1 is over: committed"


# What begins one, and of what.


@pytest.mark.parametrize(
    ("text", "one", "of_changes"),
    [
        ("BEGIN", True, True),
        ("begin work", True, True),
        ("START TRANSACTION", True, True),
        ("START TRANSACTION WITH CONSISTENT SNAPSHOT", True, True),
        ("START TRANSACTION READ ONLY", True, False),
        ("start  transaction /* x */ read\nonly", True, False),
        ("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", True, False),
        ("COMMIT", False, False),
        ("SELECT 'read only'", False, False),
        ("UPDATE orders SET id = 1", False, False),
    ],
)
def test_what_begins_a_transaction(text, one, of_changes):
    assert (begins(read(text)), begins_writing(read(text))) == (one, of_changes)


@pytest.mark.parametrize(
    ("text", "anew"),
    [("COMMIT", False), ("COMMIT AND CHAIN", True), ("COMMIT AND NO CHAIN", False), ("ROLLBACK AND CHAIN", True),
     ("ROLLBACK TO chain_of_tables", False), ("SELECT 1", False)],
)  # fmt: skip
def test_a_chain_begins_the_next(text, anew):
    assert begins_anew(read(text)) is anew


# What is refused.


@pytest.mark.parametrize("text", ["SELECT 1", "UPDATE orders SET id = 1", "BEGIN", "COMMIT", "CREATE TABLE a (id INT)"])
def test_without_a_transaction_and_a_single_grant_everything_may_go_on(text):
    assert objection(read(text), opened=None, goes_to="replica-1", one_grant=False) == ""


@pytest.mark.parametrize("text", ["ROLLBACK", "SAVEPOINT a", "RELEASE SAVEPOINT a", "ROLLBACK TO a"])
@pytest.mark.parametrize("one_grant", [False, True])
def test_nothing_is_undone_that_is_committed_already(text, one_grant):
    statement = read(text)
    assert statement.kind in NEEDS_ONE
    assert "no transaction is open" in objection(statement, opened=None, goes_to="primary", one_grant=one_grant)
    assert objection(statement, opened=READS, goes_to=READS.place, one_grant=False) == ""
    assert "changes it back" in way_out(statement, opened=None)


@pytest.mark.parametrize("text", ["BEGIN", "START TRANSACTION"])
def test_a_grant_of_one_statement_covers_no_transaction(text):
    statement = read(text)
    assert "one statement does not cover" in objection(statement, opened=None, goes_to="primary", one_grant=True)
    assert "break-glass window" in way_out(statement, opened=None)
    alone = read("START TRANSACTION READ ONLY")
    assert objection(alone, opened=None, goes_to="replica-1", one_grant=True) == ""


@pytest.mark.parametrize("text", ["SELECT 1", "UPDATE orders SET id = 1", "COMMIT", "ROLLBACK", "BEGIN"])
@pytest.mark.parametrize("transaction", [READS, WRITES], ids=["reads", "writes"])
def test_nothing_runs_beside_an_open_transaction_as_if_it_were_in_it(text, transaction):
    why = objection(read(text), opened=transaction, goes_to="replica-2", one_grant=False)
    assert transaction.place in why
    assert "replica-2" in why
    assert "COMMIT or ROLLBACK" in way_out(read(text), opened=transaction)


@pytest.mark.parametrize("kind", sorted(BEGINS))
@pytest.mark.parametrize("transaction", [READS, WRITES], ids=["reads", "writes"])
def test_a_second_begin_would_commit_the_first(kind, transaction):
    why = objection(read(kind), opened=transaction, goes_to=transaction.place, one_grant=False)
    assert f"{kind} would commit it" in why


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE orders ADD x INT",
        "CREATE TABLE a (id INT)",
        "CREATE TEMPORARY TABLE a (id INT)",
        "DROP TABLE a",
        "TRUNCATE orders",
        "RENAME TABLE a TO b",
        "CREATE USER u",
        "GRANT SELECT ON shop.* TO u",
        "ANALYZE TABLE orders",
        "OPTIMIZE TABLE orders",
        "FLUSH TABLES",
        "LOCK TABLES orders WRITE",
        "UNLOCK TABLES",
        "XA START 'x'",
        "CALL p()",
        "SET GLOBAL max_connections = 1",
        "something unheard of",
    ],
)
def test_what_commits_unasked_is_refused_inside(text):
    why = objection(read(text), opened=WRITES, goes_to=WRITES.place, one_grant=False)
    assert "servers commit what is open before they run" in why


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT id FROM orders FOR UPDATE",
        "UPDATE orders SET id = 1",
        "INSERT INTO orders VALUES (1)",
        "DELETE FROM orders",
        "SET @a = 1",
        "SAVEPOINT a",
        "ROLLBACK TO a",
        "COMMIT",
        "ROLLBACK",
    ],
)
def test_changes_and_reads_of_a_transaction_stay_in_it(text):
    assert objection(read(text), opened=WRITES, goes_to=WRITES.place, one_grant=False) == ""


# Where things go.


@given(st.sampled_from(["BEGIN", "START TRANSACTION READ ONLY", "SELECT 1", "UPDATE orders SET id = 1", "COMMIT"]),
       st.sampled_from([Route.REPLICA, Route.PRIMARY]), st.sampled_from([None, READS, WRITES]), st.booleans())  # fmt: skip
def test_what_belongs_to_changes_goes_where_they_are(text, route, transaction, window):
    found = route_within(read(text), route, opened=transaction, window=window)
    if transaction is WRITES:
        assert found is Route.PRIMARY
    elif transaction is None and window and text == "BEGIN":
        assert found is Route.PRIMARY
    else:
        assert found is route


def test_a_place_is_named_by_its_account():
    assert place_of("n", Account.READ) == "n"
    assert place_of("n", Account.ELEVATED) == "n (elevated)"
