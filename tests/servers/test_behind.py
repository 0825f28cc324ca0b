"""What stands behind a statement's names is its own: views are analysed like text, engines are asked for."""

import contextlib
import json
import subprocess
import sys

import pytest

from safeconsole.sqltext.vocabulary import Effect, Verdict
from tests.harness.desk import seated

VIEWS = {
    "behind.v_lock": "SELECT GET_LOCK('behind', 0) AS x",
    "behind.v_over_lock": "SELECT x FROM behind.v_lock",
    "behind.v_file": "SELECT LOAD_FILE('/etc/passwd') AS x",
    "behind.v_sleep": "SELECT SLEEP(0) AS x",
    "behind.v_sizes": "SELECT table_name, data_length FROM information_schema.tables",
    "behind.v_hashes": "SELECT user, authentication_string AS x FROM mysql.user",
    "behind.v_function": "SELECT behind.f() AS x",
    "behind.v_secret": "SELECT id AS x FROM locked_away.t",
    "behind.v_plain": "SELECT UPPER(MAX(name)) AS x, COUNT(*) AS n FROM behind.t WHERE name LIKE 'it\\'s\\\\%'",
    "behind.v_over_plain": "SELECT x FROM behind.v_plain",
    "behind.`v d'or`": "SELECT x FROM behind.v_lock",
}


@pytest.fixture
def behind(cluster):
    """Views and tables that are not what they seem, for the read account to see."""
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        for text in (
            "SET GLOBAL log_bin_trust_function_creators = 1",
            "CREATE DATABASE behind",
            "CREATE DATABASE locked_away",
            "CREATE TABLE behind.t (id INT PRIMARY KEY, name VARCHAR(20))",
            "INSERT INTO behind.t VALUES (1, 'one')",
            "CREATE TABLE locked_away.t (id INT)",
            "CREATE FUNCTION behind.f() RETURNS INT DETERMINISTIC NO SQL RETURN GET_LOCK('behind', 0)",
            *(f"CREATE VIEW {name} AS {query}" for name, query in VIEWS.items()),
            "GRANT SELECT, SHOW VIEW ON behind.* TO console_read@'%'",
            "GRANT SELECT, INSERT, SHOW VIEW ON behind.* TO console_elevated@'%'",
        ):
            cursor.execute(text)
    cluster.wait_caught_up()
    yield cluster
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        for text in (
            "REVOKE SELECT, SHOW VIEW ON behind.* FROM console_read@'%'",
            "REVOKE SELECT, INSERT, SHOW VIEW ON behind.* FROM console_elevated@'%'",
            "DROP DATABASE behind",
            "DROP DATABASE locked_away",
        ):
            with contextlib.suppress(Exception):
                cursor.execute(text)


def considered(desk, text):
    (statement,) = desk.session.split(text)
    return desk.session.consider(statement)


def hazards(found):
    return {(hazard.id, hazard.cost.value) for hazard in found.statement.hazards}


def locks(cluster):
    return [tell(cluster, node, "SELECT IS_USED_LOCK('behind')")[0][0] for node in cluster.nodes]


def tell(cluster, node, text):
    with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


@pytest.mark.parametrize(
    ("direct", "through"),
    [
        ("SELECT GET_LOCK('behind', 0) AS x", "v_lock"),
        ("SELECT GET_LOCK('behind', 0) AS x", "v_over_lock"),
        ("SELECT GET_LOCK('behind', 0) AS x", "`v d'or`"),
        ("SELECT LOAD_FILE('/etc/passwd') AS x", "v_file"),
        ("SELECT SLEEP(0) AS x", "v_sleep"),
        ("SELECT table_name, data_length FROM information_schema.tables", "v_sizes"),
        ("SELECT behind.f() AS x", "v_function"),
    ],
)
@pytest.mark.parametrize("to", ["primary", ""])
def test_a_view_is_decided_on_as_its_text(behind, tmp_path, direct, through, to):
    with seated(behind, tmp_path, to=to) as desk:
        written, viewed = considered(desk, direct), considered(desk, f"SELECT * FROM behind.{through}")
        assert viewed.statement.effects == written.statement.effects
        assert hazards(written) <= hazards(viewed)
        assert {*written.statement.functions} <= {*viewed.statement.functions}
        # The plan of the text may add to it; what a view adds is decided on alike.
        assert (viewed.decision.verdict, viewed.route) == (written.decision.verdict, written.route)
        assert viewed.decision.verdict > Verdict.ALLOW or to == ""
    assert locks(behind) == [None, None, None]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT x FROM behind.v_lock",
        "WITH c AS (SELECT x FROM behind.v_lock) SELECT x FROM c",
        "SELECT d.x FROM (SELECT x FROM behind.v_over_lock) d",
        "SELECT (SELECT x FROM behind.v_lock)",
        "SELECT 1 FROM orders WHERE EXISTS (SELECT x FROM behind.v_lock)",
        "SELECT x INTO @q FROM behind.v_lock",
        "SET @q = (SELECT x FROM behind.v_lock)",
        "SHOW TABLES WHERE (SELECT x FROM behind.v_lock)",
        "SHOW COLUMNS FROM orders WHERE (SELECT x FROM behind.v_lock)",
        "EXPLAIN SELECT x FROM behind.v_lock",
    ],
)
def test_a_lock_is_found_wherever_the_view_stands(behind, tmp_path, text):
    with seated(behind, tmp_path, to="primary") as desk:
        found = considered(desk, text)
        assert Effect.LOCK in found.statement.effects
        assert found.decision.verdict is Verdict.ELEVATE
        assert any("behind.v_lock" in line for line in found.evidence)
    assert locks(behind) == [None, None, None]


def test_secrets_are_denied_through_a_view(behind, tmp_path):
    with seated(behind, tmp_path) as desk:
        found = considered(desk, "SELECT x FROM behind.v_hashes")
        assert ("password-hashes", "reads-secrets") in hazards(found)
        assert found.decision.verdict is Verdict.DENY


def test_an_analysis_that_runs_is_looked_behind(behind, tmp_path):
    analyse = "ANALYZE" if behind.flavour == "mariadb" else "EXPLAIN ANALYZE"
    with seated(behind, tmp_path, to="primary") as desk:
        found = considered(desk, f"{analyse} SELECT x FROM behind.v_lock")
        assert Effect.LOCK in found.statement.effects
    assert locks(behind) == [None, None, None]


def test_a_view_is_looked_behind_within_a_transaction(behind, tmp_path):
    with seated(behind, tmp_path, to="primary", justification=None) as desk:
        desk.run("BEGIN")
        assert considered(desk, "SELECT x FROM behind.v_lock").decision.verdict is Verdict.ELEVATE
        assert desk.run("SELECT x FROM behind.v_over_plain").table == [(None,)]
        desk.run("ROLLBACK")


def test_a_change_reads_through_views_too(behind, tmp_path):
    with seated(behind, tmp_path) as desk:
        found = considered(desk, "INSERT INTO behind.t SELECT 2, x FROM behind.v_file")
        assert found.decision.verdict is Verdict.DENY
        plain = considered(desk, "INSERT INTO behind.t SELECT 2, x FROM behind.v_plain")
        assert plain.decision.verdict is Verdict.ELEVATE
        assert plain.statement.effects == {Effect.WRITE}


def test_what_only_looks_at_a_view_stays_a_read(behind, tmp_path):
    with seated(behind, tmp_path, justification=None) as desk:
        for text in ("SHOW CREATE VIEW behind.v_lock", "DESCRIBE behind.v_lock", "SHOW COLUMNS FROM behind.v_lock"):
            assert considered(desk, text).decision.verdict is Verdict.ALLOW
            assert desk.run(text).table


def test_ordinary_views_are_plain_reads(behind, tmp_path):
    with seated(behind, tmp_path, justification=None) as desk:
        for text in ("SELECT * FROM behind.v_plain", "SELECT x FROM behind.v_over_plain"):
            found = considered(desk, text)
            assert found.statement.is_plain_read
            assert found.decision.verdict is Verdict.ALLOW
            assert found.facts["stmt.engines"] == ["innodb"]
            assert {"upper", "ucase"} & {*found.statement.functions}
            assert len(desk.run(text).table) == 1


def test_what_the_account_may_not_see_is_unknown_and_says_what_to_grant(behind, tmp_path):
    with seated(behind, tmp_path, to="primary") as desk:
        found = considered(desk, "SELECT x FROM behind.v_secret")
        assert Effect.UNKNOWN in found.statement.effects
        assert found.decision.verdict is Verdict.ELEVATE
        assert "GRANT SELECT, SHOW VIEW ON `locked_away`.`t`" in found.decision.instead
    tell(behind, behind.primary, "REVOKE SHOW VIEW ON behind.* FROM console_read@'%'")
    behind.wait_caught_up()
    with seated(behind, tmp_path, to="primary") as desk:
        for name in ("v_lock", "v_plain"):
            found = considered(desk, f"SELECT * FROM behind.{name}")
            assert Effect.UNKNOWN in found.statement.effects
            assert f"GRANT SELECT, SHOW VIEW ON `behind`.`{name}`" in found.decision.instead


def test_a_table_is_only_as_harmless_as_its_engine(behind, tmp_path):
    dba = behind.dba_connect(behind.primary)
    with dba, dba.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        with contextlib.suppress(Exception):
            cursor.execute("INSTALL SONAME 'ha_blackhole'")
        cursor.execute("SELECT 1 FROM information_schema.engines WHERE engine = 'BLACKHOLE' AND support <> 'NO'")
        if not cursor.fetchone():
            pytest.skip("this server has no engine but ordinary ones")
        cursor.execute("CREATE TABLE behind.hole (id INT) ENGINE = BLACKHOLE")
        cursor.execute("CREATE VIEW behind.v_hole AS SELECT id FROM behind.hole")
        for engine in ("MyISAM", "MEMORY", "InnoDB"):
            cursor.execute(f"CREATE TABLE behind.in_{engine} (id INT NOT NULL) ENGINE = {engine}")
    with seated(behind, tmp_path, to="primary", justification=None) as desk:
        for name in ("hole", "v_hole"):
            found = considered(desk, f"SELECT id FROM behind.{name}")
            assert found.facts["stmt.engines"] == ["blackhole"]
            assert hazards(found) == {("engine-keeps-nothing", "calls-unknown-code")}
            assert found.decision.verdict is Verdict.ELEVATE
        for engine in ("MyISAM", "MEMORY", "InnoDB"):
            found = considered(desk, f"SELECT id FROM behind.in_{engine}")
            assert found.facts["stmt.engines"] == [engine.lower()]
            assert found.decision.verdict is Verdict.ALLOW


def test_a_view_in_a_circle_or_too_deep_comes_to_an_end(behind, tmp_path):
    with behind.dba_connect(behind.primary) as dba, dba.cursor() as cursor:
        cursor.execute("CREATE TABLE behind.circle_a (x INT)")
        cursor.execute("CREATE VIEW behind.circle_b AS SELECT x FROM behind.circle_a")
        cursor.execute("DROP TABLE behind.circle_a")
        cursor.execute("CREATE VIEW behind.d0 AS SELECT id AS x FROM behind.t")
        for depth in range(1, 12):
            cursor.execute(f"CREATE VIEW behind.d{depth} AS SELECT x FROM behind.d{depth - 1}")
    behind.wait_caught_up()
    with seated(behind, tmp_path, to="primary") as desk:
        assert considered(desk, "SELECT x FROM behind.circle_b").estimate.objection_code in (1146, 1356)
        assert considered(desk, "SELECT x FROM behind.d5").statement.is_plain_read
        assert Effect.UNKNOWN in considered(desk, "SELECT x FROM behind.d11").statement.effects


def test_a_statement_seen_before_is_asked_nothing_more(behind, tmp_path):
    with seated(behind, tmp_path, justification=None) as desk:
        desk.run("SELECT id FROM behind.t WHERE id = 1")
        (connection,) = desk.session._nodes._parked.values()
        asked = []
        answers, texts = connection._link.wire.answers, connection._link.wire.texts
        connection._link.wire.answers = lambda *all_: asked.append(len(all_)) or answers(*all_)
        connection._link.wire.texts = lambda text: asked.append(text) or texts(text)
        considered(desk, "SELECT name FROM behind.t WHERE id > 1")
        # BEGIN and PREPARE in one flight, the plan in another: the dictionary is remembered.
        assert asked[0] == 2
        assert len([each for each in asked if isinstance(each, str)]) == 0
        asked.clear()
        considered(desk, "SELECT id FROM orders WHERE id > 4999")
        # Asked for in the same flight.
        assert asked[0] == 3
        assert len([each for each in asked if isinstance(each, str)]) == 0


def test_check_asks_the_nodes_for_each_line(behind, tmp_path):
    lines = [
        {"sql": "SELECT x FROM behind.v_lock"},
        {"sql": "SELECT x FROM behind.v_plain"},
        {"sql": "SELECT x FROM behind.v_plain", "sql_mode": "STRICT_ALL_TABLES"},
        {"sql": "SELECT \"load_file\"('/etc/passwd')", "sql_mode": "ANSI_QUOTES"},
        {"sql": ""},
    ]
    with seated(behind, tmp_path):
        asked = subprocess.run(
            (sys.executable, "-m", "safeconsole", "--config", str(tmp_path / "config.toml"), "check", "shop")
            + ("--to", "primary", "--format", "jsonl"),
            input="".join(json.dumps(line) + "\n" for line in lines),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert asked.returncode == 0, asked.stderr
    lock, plain, strict, quoted, nothing = map(json.loads, asked.stdout.splitlines())
    assert (lock["verdict"], set(lock["effects"])) == ("elevate", {"read", "lock"})
    assert [hazard["id"] for hazard in lock["hazards"]] == ["user-lock"]
    assert (plain["verdict"], strict["verdict"]) == ("allow", "allow")
    assert quoted["verdict"] != "allow"
    assert nothing["verdict"] != "allow"


def test_names_that_differ_in_case_only_are_not_taken_for_each_other(behind, tmp_path):
    with behind.dba_connect(behind.primary) as dba, dba.cursor() as cursor:
        cursor.execute("CREATE VIEW behind.twin AS SELECT GET_LOCK('behind', 0) AS x")
        cursor.execute("CREATE VIEW behind.Twin AS SELECT id AS x FROM behind.t")
        cursor.execute("CREATE VIEW behind.TWIN AS SELECT id AS x FROM behind.t")
    with seated(behind, tmp_path, to="primary") as desk:
        found = considered(desk, "SELECT a.x FROM behind.Twin a JOIN behind.twin b JOIN behind.TWIN c")
        assert Effect.LOCK in found.statement.effects
    with seated(behind, tmp_path, to="primary") as desk:
        assert considered(desk, "SELECT a.x FROM behind.Twin a JOIN behind.TWIN c").statement.is_plain_read
