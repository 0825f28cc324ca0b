"""The watchdog on real servers: every kind of statement, memory, tables, and its own misfortunes."""

import signal
import threading
import time

import pytest
from msgspec.structs import replace

from safeconsole.cli.application import exit_code_of
from safeconsole.mysql.endings import way_out
from safeconsole.mysql.watchdog import SAMPLE_SECONDS
from safeconsole.errors import OutcomeUnknownError, SafeConsoleError, ServerError, StoppedError
from safeconsole.sqltext.vocabulary import Account, Effect, NodeName, Route
from tests.harness.proxy import Proxy
from tests.harness.talking import (
    HAZARD,
    SOON_SECONDS,
    elevated,
    engine_of,
    interrupt_when,
    permit_for,
    read,
    run,
    seconds_until_gone,
    statement,
    threads_running,
    wait_for,
    write,
)

REPLICA, PRIMARY = NodeName("replica-1"), NodeName("primary")
HEAVY = "SELECT COUNT(*) FROM orders a JOIN orders b JOIN orders c WHERE a.total + b.total + c.total < 0"


@pytest.fixture
def engine(cluster):
    """The engine over the run's cluster."""
    made = engine_of(cluster)
    yield made
    made.close()


@pytest.fixture
def connect(engine):
    """A function that opens connections and closes them after the test."""
    connections = []

    def open_one(node=REPLICA, account=Account.READ, schema="shop"):
        connections.append(engine.connect(node, account, schema=schema))
        return connections[-1]

    yield open_one
    for connection in connections:
        connection.close()


def stopped_at(connection, permit):
    """Send, expect a stop, and return (the error, seconds it took)."""
    started = time.monotonic()
    with pytest.raises(StoppedError) as caught:
        run(connection, permit)
    return caught.value, time.monotonic() - started


READS = {
    "cpu-bound select": HEAVY,
    "sleep": "SELECT SLEEP(40)",
    "sleep a row": "SELECT SLEEP(0.05) FROM orders",
    "benchmark": "SELECT BENCHMARK(2000000000, 1 + 1)",
    "lock function": "SELECT GET_LOCK('{marker}', 40)",
    "recursive": "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) "
    "SELECT COUNT(*) FROM n a, n b, n c, n d",
    "union": f"{HEAVY} UNION {HEAVY}",
}


@pytest.mark.parametrize("kind", READS)
def test_a_read_is_gone_within_moments_of_its_deadline(cluster, connect, kind):
    marker = f"watched_{kind.replace(' ', '_').replace('-', '_')}"
    holder = connect()
    if kind == "lock function":
        run(holder, permit_for(holder, statement(f"SELECT GET_LOCK('{marker}', 0)")))
    connection = connect()
    text = f"{READS[kind].replace('{marker}', marker)} -- {marker}"
    error, seconds = stopped_at(connection, permit_for(connection, statement(text), run_seconds=0.5))
    assert error.ceiling == "run_seconds"
    assert error.by in ("watchdog", "server")
    assert error.verified in ("killed", "already over")
    assert 0.5 <= seconds < SOON_SECONDS
    seconds_until_gone(cluster, cluster.replicas[0], marker)


@pytest.mark.parametrize(
    ("text", "kind", "effect"),
    [
        ("SELECT GET_LOCK('{name}', 40)", "select", Effect.LOCK),
        ("DO GET_LOCK('{name}', 40)", "do", Effect.LOCK),
        ("INSERT INTO orders SELECT {number}, GET_LOCK('{name}', 40), 'x', 1, NOW()", "insert", Effect.WRITE),
    ],
)
def test_a_lock_that_did_not_come_in_time_is_no_success(cluster, connect, text, kind, effect):
    """MariaDB cuts the wait at its cap, and answers as if all were well."""
    holder, name = connect(PRIMARY), f"held_{kind}"
    run(holder, permit_for(holder, statement(f"SELECT GET_LOCK('{name}', 0)"), route=Route.PRIMARY))
    for number in range(910_000, 910_003):
        connection = connect(PRIMARY, Account.ELEVATED)
        what = statement(text.format(name=name, number=number), kind, effect, Effect.READ)
        with pytest.raises((StoppedError, OutcomeUnknownError)):
            run(connection, elevated(connection, what, run_seconds=0.4))
        assert connection.broken
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM shop.orders WHERE id BETWEEN 910000 AND 910002")
        assert cursor.fetchone() == (0,)


# What a server cuts at its cap returns 1, 0 or NULL, and the statement then fails over that value.
DISGUISED = [
    ("mysql", "select", "SELECT EXP(SLEEP(40) * 1000)"),
    ("mysql", "select", "SELECT JSON_EXTRACT(IF(SLEEP(40) = 1, 'x{', '{}'), '$.a')"),
    ("mysql", "select", "SELECT ST_X(IF(SLEEP(40), 'x', NULL))"),
    ("mariadb", "select", "SELECT EXP(IFNULL(GET_LOCK('held_disguised', 40), 1) * 1000)"),
    ("mariadb", "insert", "INSERT INTO orders SELECT 910000, GET_LOCK('held_disguised', 40), 'x', 1, NOW()"),
    ("mariadb", "update", "UPDATE orders SET customer_id = GET_LOCK('held_disguised', 40) WHERE id = 1"),
    ("mariadb", "create table", "CREATE TABLE cut AS SELECT EXP(IFNULL(GET_LOCK('held_disguised', 40), 1) * 1000) AS x"),
    ("mariadb", "set", "SET @a = EXP(IFNULL(GET_LOCK('held_disguised', 40), 1) * 1000)"),
]  # fmt: skip
EFFECTS = {"insert": Effect.WRITE, "update": Effect.WRITE, "create table": Effect.DDL, "set": Effect.SESSION}


@pytest.mark.parametrize(("flavour", "kind", "text"), DISGUISED)
def test_a_time_limit_that_the_server_tells_as_another_error_is_told_as_the_limit(shared_clusters, flavour, kind, text):
    engine = engine_of(shared_clusters(flavour))
    holder = engine.connect(PRIMARY, Account.ELEVATED, schema="shop")
    # The others of its kind run beside it, on the same servers.
    name = f"held_disguised_{holder.identity.address}_{holder._link.wire.thread}"
    text = text.replace("held_disguised", name)
    run(holder, elevated(holder, statement(f"SELECT GET_LOCK('{name}', 0)", "select", Effect.LOCK)))
    # The watchdog looks at the same moment, and is the first now and then.
    for _ in range(5):
        connection = engine.connect(PRIMARY, Account.ELEVATED, schema="shop")
        what = statement(text, kind, EFFECTS.get(kind, Effect.READ))
        error, _ = stopped_at(connection, elevated(connection, what, run_seconds=0.4))
        assert error.ceiling == "run_seconds"
        assert error.by in ("server", "watchdog")
        assert error.instead == way_out("run_seconds", kind)
        assert connection.broken
        connection.close()
    holder.close()
    engine.close()


def test_a_change_that_stays_though_the_cap_cut_a_function_in_it_says_so(mariadb_cluster):
    """MariaDB makes the table, with the 0 that BENCHMARK returns at the cap, and reports no error."""
    engine = engine_of(mariadb_cluster)
    connection = engine.connect(PRIMARY, Account.ELEVATED, schema="shop")
    text = "CREATE TABLE cut_within AS SELECT BENCHMARK(2000000000, SHA2('x', 512)) AS x"
    _, completion = run(connection, elevated(connection, statement(text, "create table", Effect.DDL), run_seconds=0.5))
    assert "passed its limit (run_seconds), ended without an error and stays" in completion.warnings[0]
    connection.close()
    engine.close()
    with mariadb_cluster.dba_connect(mariadb_cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS shop.cut_within")


@pytest.mark.parametrize(
    "text", ["SELECT EXP(SLEEP(0.1) + 1000)", "INSERT INTO orders SELECT id, NULL, 'x', 1, NOW() FROM orders"]
)
def test_an_error_within_the_time_limit_is_the_servers_own(connect, text):
    connection = connect(PRIMARY, Account.ELEVATED)
    kind, effect = ("insert", Effect.WRITE) if text.startswith("INSERT") else ("select", Effect.READ)
    with pytest.raises(ServerError) as caught:
        run(connection, elevated(connection, statement(text, kind, effect), run_seconds=30))
    assert caught.value.number in (1690, 1048)
    assert not connection.broken


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("do", "DO SLEEP(40)"),
        ("set", "SET @heavy = (" + HEAVY + ")"),
        ("show", "SHOW TABLES WHERE SLEEP(2)"),
    ],
)
def test_what_no_server_cap_stops_is_stopped_too(cluster, connect, kind, text):
    connection = connect()
    error, seconds = stopped_at(
        connection, permit_for(connection, statement(f"{text} -- watched_{kind}", kind), run_seconds=0.5)
    )
    assert error.ceiling == "run_seconds"
    assert seconds < SOON_SECONDS
    seconds_until_gone(cluster, cluster.replicas[0], f"watched_{kind}")


@pytest.mark.parametrize(
    ("kind", "text", "effect"),
    [
        ("update", "UPDATE orders SET status = IF(SLEEP(0.02) = 0, 'slow', status)", Effect.WRITE),
        ("insert", "INSERT INTO orders SELECT id + 100000, customer_id, IF(SLEEP(0.02), 'a', 'b'), total, created_at FROM orders", Effect.WRITE),
        ("create table", "CREATE TABLE slow_copy AS SELECT id, SLEEP(0.02) AS s FROM orders", Effect.DDL),
    ],
)  # fmt: skip
def test_a_change_is_stopped_and_leaves_nothing(cluster, connect, kind, text, effect):
    connection = connect(PRIMARY, Account.ELEVATED)
    started = time.monotonic()
    with pytest.raises(SafeConsoleError) as caught:
        run(connection, elevated(connection, statement(f"{text} -- watched_{kind}", kind, effect), run_seconds=0.5))
    assert isinstance(caught.value, StoppedError), caught.value
    assert time.monotonic() - started < SOON_SECONDS
    wait_for(lambda: not threads_running(cluster, cluster.primary, f"watched_{kind}"))
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT COUNT(*), SUM(status = 'slow') FROM shop.orders")
        assert cursor.fetchone() == (5000, 0)
        cursor.execute("SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'slow_copy'")
        assert cursor.fetchone() == (0,)


@pytest.fixture
def procedures(cluster):
    """Procedures that swallow a kill, where the elevated account may call them."""
    bodies = {
        "many_short": "DECLARE n INT DEFAULT 0; WHILE n < 800 DO DO SLEEP(0.05); SET n = n + 1; END WHILE;",
        "deaf": "DECLARE n INT DEFAULT 0; DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET @ignored = 1; "
        "WHILE n < 800 DO SELECT SLEEP(0.05) INTO @slept; SET n = n + 1; END WHILE;",
        "spin": "DECLARE n INT DEFAULT 0; WHILE n < 2000000000 DO SET n = n + 1; END WHILE;",
    }
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("USE shop")
        for name, body in bodies.items():
            cursor.execute(f"DROP PROCEDURE IF EXISTS {name}")
            cursor.execute(f"CREATE PROCEDURE {name}() SQL SECURITY INVOKER BEGIN {body} END")
        cursor.execute("GRANT EXECUTE ON shop.* TO console_elevated@'%'")
    return tuple(bodies)


@pytest.mark.parametrize("name", ["many_short", "deaf", "spin"])
def test_a_procedure_that_swallows_a_kill_loses_its_connection(cluster, connect, procedures, name):
    connection = connect(PRIMARY, Account.ELEVATED)
    call, thread = statement(f"CALL {name}()", "call", Effect.UNKNOWN), connection._link.wire.thread
    started = time.monotonic()
    with pytest.raises(SafeConsoleError) as caught:
        run(connection, elevated(connection, call, run_seconds=0.5))
    assert time.monotonic() - started < SOON_SECONDS
    # What commits by itself may have done so; only a clean answer of the server's says otherwise.
    assert exit_code_of(caught.value) in (5, 6)
    # On a busy machine MariaDB's own cap may come first.
    assert "time limit" in str(caught.value) or "run_seconds" in str(caught.value)
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        wait_for(lambda: not _is_at_work(cursor, thread))


@pytest.mark.parametrize("may_kill", [True, False])
def test_a_routine_that_runs_as_somebody_else_frees_the_person(private_cluster, may_kill):
    # MariaDB counts a thread as its routine's definer's: its own account may kill it there by CONNECTION ADMIN alone.
    cluster = private_cluster("mariadb", replicas=0)
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        if not may_kill:
            cursor.execute("REVOKE CONNECTION ADMIN ON *.* FROM console_elevated@'%'")
        cursor.execute("USE shop")
        cursor.execute("DROP PROCEDURE IF EXISTS as_definer")
        cursor.execute(
            "CREATE PROCEDURE as_definer() SQL SECURITY DEFINER BEGIN DECLARE n INT DEFAULT 0;"
            " WHILE n < 600 DO DO SLEEP(0.05); SET n = n + 1; END WHILE; END"
        )
        cursor.execute("GRANT EXECUTE ON shop.* TO console_elevated@'%'")
    engine = engine_of(cluster)
    connection = engine.connect(PRIMARY, Account.ELEVATED, schema="shop")
    thread = connection._link.wire.thread
    started = time.monotonic()
    with pytest.raises(OutcomeUnknownError, match="time limit") as caught:
        run(connection, elevated(connection, statement("CALL as_definer()", "call", Effect.UNKNOWN), run_seconds=0.5))
    assert time.monotonic() - started < SOON_SECONDS
    told = [line for line in caught.value.evidence if line.startswith("process list:")]
    assert told == ["process list: killed" if may_kill else "process list: missed"]
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        # What is said is what is so.
        assert bool(_is_at_work(cursor, thread)) is not may_kill
    connection.close()
    engine.close()


def _is_at_work(cursor, thread):
    return cursor.execute(f"SELECT id FROM information_schema.processlist WHERE id = {thread} AND command <> 'Sleep'")


def test_samples_say_what_the_statement_holds(cluster, connect):
    connection = connect()
    samples = []
    permit = permit_for(connection, statement("SELECT COUNT(*) FROM orders WHERE SLEEP(0.0002) = 0"))
    run(connection, permit, watch=samples.append)
    assert len(samples) >= 3
    gaps = [after.elapsed_seconds - before.elapsed_seconds for before, after in zip(samples, samples[1:], strict=False)]
    assert max(gaps) < SOON_SECONDS
    assert all(sample.session_memory_bytes > 0 for sample in samples)
    assert all(sample.opened_tables > 0 and sample.threads_running > 0 for sample in samples)
    if cluster.flavour == "mariadb":
        assert all(sample.instance_memory_bytes > 0 for sample in samples)


def test_memory_of_the_session_over_its_ceiling_ends_the_statement(cluster, connect):
    connection = connect()
    text, kind, effect = {
        # A value that the server's own ceilings for temporary tables and sorts do not count.
        "mysql": ("SET @held = REPEAT('x', 15000000), @again = CONCAT(@held, 'y'), @slept = SLEEP(40)", "set", Effect.SESSION),
        "mariadb": (
            "SELECT COUNT(*) FROM (SELECT DISTINCT o.id a, p.id b FROM orders o, orders p LIMIT 900000) t, orders q",
            "select",
            Effect.READ,
        ),
    }[cluster.flavour]  # fmt: skip
    started = time.monotonic()
    with pytest.raises(StoppedError) as caught:
        run(connection, permit_for(connection, statement(text, kind, effect), session_memory_bytes=8_000_000))
    assert time.monotonic() - started < SOON_SECONDS
    assert caught.value.ceiling == "session_memory_bytes"
    assert caught.value.by == {"mysql": "watchdog", "mariadb": "server"}[cluster.flavour]


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_growth_of_the_instance_ends_the_statement_at_once(private_cluster, flavour):
    """The incident's shape: each table is opened cold, and nothing of it shows in the session's own memory."""
    cluster = private_cluster(flavour, replicas=0)
    _many_tables(cluster, {"mysql": 600, "mariadb": 2_000}[flavour])
    engine = engine_of(cluster)
    for limits in ({"opened_tables": 100}, {"grown_memory_bytes": 1_000_000}):
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("FLUSH TABLES")
        connection = engine.connect(PRIMARY, Account.READ, schema="shop")
        samples = []
        permit = permit_for(
            connection, statement(_opens_tables(flavour), hazards=(HAZARD,)), route=Route.PRIMARY, **limits
        )
        with pytest.raises(StoppedError) as caught:
            run(connection, permit, watch=lambda sample: samples.append((time.monotonic(), sample)))
        ended = time.monotonic()
        connection.close()
        ((ceiling, allowed),) = limits.items()
        assert (caught.value.by, caught.value.ceiling, caught.value.verified) == ("watchdog", ceiling, "killed")
        # The last sample is the first that was over.
        assert ended - samples[-1][0] < SOON_SECONDS
        assert samples[-1][1].session_memory_bytes < 20_000_000
    engine.close()


def _opens_tables(flavour):
    """A statement that opens tables, one after the other, and goes on for longer than what is soon."""
    if flavour == "mariadb":
        return "SELECT COUNT(*), SUM(DATA_LENGTH), SUM(SLEEP(0.02)) FROM information_schema.tables"
    counts = " UNION ALL ".join(f"SELECT COUNT(*) FROM many.t{number}" for number in range(600))
    # Opened before the first row; held for the watchdog to see.
    return f"SELECT COUNT(*), SLEEP(40) FROM ({counts}) x"


def _many_tables(cluster, count):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        # Made quickly: not logged, and on MariaDB in files that cost little.
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute("CREATE DATABASE many")
        engine = {"mysql": "InnoDB", "mariadb": "MyISAM"}[cluster.flavour]
        for number in range(count):
            cursor.execute(f"CREATE TABLE many.t{number} (id INT PRIMARY KEY) ENGINE={engine}")
        cursor.execute("GRANT SELECT ON many.* TO console_read@'%'")
        cursor.execute("GRANT SELECT ON performance_schema.memory_summary_global_by_event_name TO console_read@'%'")


def test_ctrl_c_stops_it_on_the_server(cluster, connect):
    connection = connect()
    interrupt_when(lambda: threads_running(cluster, cluster.replicas[0], "watched_ctrl_c"))
    error, seconds = stopped_at(connection, permit_for(connection, statement(f"{HEAVY} -- watched_ctrl_c")))
    assert (error.by, error.verified) == ("person", "killed")
    assert seconds < SOON_SECONDS
    assert connection.broken
    assert threads_running(cluster, cluster.replicas[0], "watched_ctrl_c") == 0


def test_ctrl_c_between_rows_stops_it_on_the_server(cluster, connect):
    connection = connect()
    answer = connection.send(permit_for(connection, statement("SELECT id, SLEEP(0.002) FROM orders -- watched_rows")))
    main = threading.main_thread().ident
    threading.Timer(0.4, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
    with pytest.raises(StoppedError) as caught:
        for _ in answer.batches():
            pass
    assert caught.value.by == "person"
    assert threads_running(cluster, cluster.replicas[0], "watched_rows") == 0


def test_a_reader_that_does_not_read_is_ended_at_the_deadline(cluster, connect):
    connection = connect()
    text = "SELECT o.*, REPEAT('x', 2000) FROM orders o, orders p -- watched_stalled"
    answer = connection.send(permit_for(connection, statement(text), run_seconds=0.7))
    batches = answer.batches()
    next(batches)
    # The person looks at the first rows; the server's send buffer is full.
    seconds_until_gone(cluster, cluster.replicas[0], "watched_stalled")
    with pytest.raises(StoppedError) as caught:
        list(batches)
    assert caught.value.ceiling == "run_seconds"


def test_a_slow_reader_of_a_finished_statement_is_left_in_peace(connect):
    connection = connect()
    answer = connection.send(permit_for(connection, statement("SELECT id FROM orders LIMIT 3000"), run_seconds=2))
    batches = answer.batches()
    first = next(batches)
    time.sleep(2.5)
    rest = [row for batch in batches for row in batch]
    assert len(first) + len(rest) == 3000
    answer.finish()


def test_no_kill_ever_hits_the_next_statement(connect):
    connection = connect()
    survived = 0
    for number in range(60):
        # Ends about when its deadline passes, now a little before, now a little after; one in seven in good time.
        seconds = 0.1 + (number % 7 - 3) / 1000 if number % 7 else 0.02
        try:
            run(connection, permit_for(connection, statement(f"SELECT SLEEP({seconds})"), run_seconds=0.1))
        except StoppedError:
            connection.close()
            connection = connect()
        else:
            survived += 1
        assert read(connection, "SELECT SLEEP(0.005), 'whole'", run_seconds=5) == [(0, "whole")]
    assert survived > 0


def test_an_idle_thread_that_a_kill_came_late_for_is_not_at_work(cluster, connect):
    """MariaDB lists it as Killed until its next statement; a grace was waited for it, and its connection killed."""
    connection = connect()
    thread, lookout = connection._link.wire.thread, connection._link.watchdog._lookout
    with cluster.dba_connect(cluster.replicas[0]) as dba, dba.cursor() as cursor:
        cursor.execute(f"KILL QUERY {thread}")
        cursor.execute("SHOW PROCESSLIST")
        (listed,) = [row[4] for row in cursor.fetchall() if row[0] == thread]
    assert listed == ("Killed" if cluster.flavour == "mariadb" else "Sleep")
    assert not lookout.is_at_work()


def test_a_watchdog_that_was_cut_off_while_idle_comes_back_before_the_send(cluster):
    proxy = Proxy("127.0.0.1", cluster.replicas[0].port)
    engine = engine_of(cluster, through={"replica-1": proxy.address})
    connection = engine.connect(REPLICA, Account.READ, schema="shop")
    assert read(connection, "SELECT 1") == [(1,)]
    # Made in this order: the control connection, and the one for statements.
    proxy.cut(0)
    hazardous = permit_for(connection, statement("SELECT SLEEP(40)", hazards=(HAZARD,)), run_seconds=0.5)
    error, seconds = stopped_at(connection, hazardous)
    assert (error.ceiling, seconds < SOON_SECONDS) == ("run_seconds", True)
    connection.close()
    engine.close()
    proxy.close()


def test_a_watchdog_that_is_cut_off_during_a_statement_comes_back(cluster):
    proxy = Proxy("127.0.0.1", cluster.replicas[0].port)
    engine = engine_of(cluster, through={"replica-1": proxy.address})
    connection = engine.connect(REPLICA, Account.READ, schema="shop")
    threading.Timer(0.3, lambda: proxy.cut(0)).start()
    error, seconds = stopped_at(connection, permit_for(connection, statement("DO SLEEP(40)", "do"), run_seconds=1.0))
    # On a busy machine the server's own cap, set a moment later, may come first where it has one for this kind.
    assert error.ceiling == "run_seconds"
    ended = {("watchdog", "killed"), ("watchdog", "already over"), ("server", "already over")}
    assert (error.by, error.verified) in ended
    assert seconds < SOON_SECONDS
    connection.close()
    engine.close()
    proxy.close()


def test_without_a_watchdog_the_statement_is_ended(cluster):
    proxy = Proxy("127.0.0.1", cluster.replicas[0].port)
    engine = engine_of(cluster, through={"replica-1": proxy.address})
    connection = engine.connect(REPLICA, Account.READ, schema="shop")

    def blind():
        proxy.refuse()
        proxy.cut(0)

    threading.Timer(0.3, blind).start()
    error, seconds = stopped_at(connection, permit_for(connection, statement("SELECT SLEEP(40)"), run_seconds=60))
    assert (error.by, error.ceiling, error.verified) == ("watchdog", "watchdog", "unreachable")
    assert seconds < SOON_SECONDS
    assert connection.broken
    engine.close()
    proxy.close()


def test_another_session_with_the_same_number_is_never_killed(cluster, connect):
    connection = connect()
    lookout = connection._link.watchdog._lookout
    assert not lookout.is_at_work()
    answer = connection.send(permit_for(connection, statement("SELECT o.*, REPEAT('x', 2000) FROM orders o, orders p")))
    batches = answer.batches()
    next(batches)
    assert lookout.is_at_work()
    # As if the server had been restarted and had given the number to somebody else.
    lookout.target = replace(lookout.target, host="somebody:1")
    assert not lookout.is_at_work()
