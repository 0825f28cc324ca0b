"""MariaDB's other releases: the same promises on the oldest and the newest that can be had."""

import pytest

from benchmarks.servers import PAGE, capabilities, column_of, version_of
from safeconsole.demo.binaries import RELEASES, ServersUnavailableError, find_server, provide_server
from safeconsole.demo.servers import start_cluster
from safeconsole.dialects.functions import WITHHELD
from safeconsole.dialects.mariadb import MARIADB
from safeconsole.dialects.settings import SESSION_VARIABLES
from tests.harness.desk import seated

INCIDENT = "SELECT table_schema, SUM(data_length + index_length) FROM information_schema.tables GROUP BY table_schema"


@pytest.fixture(scope="module", params=["10.5", "11.8"])
def release(request, tmp_path_factory):
    try:
        provide_server("mariadb", request.param)
    except ServersUnavailableError as error:
        pytest.skip(f"MariaDB {request.param} cannot be had here: {error}")
    cluster = start_cluster("mariadb", tmp_path_factory.mktemp("release"), replicas=1, release=request.param)
    yield request.param, cluster
    cluster.stop()


@pytest.fixture
def desk(release, tmp_path):
    with seated(release[1], tmp_path) as seat:
        yield seat


def test_the_server_is_the_release_that_was_asked_for(release, desk):
    assert desk.run("SELECT VERSION()").table[0][0].startswith(f"{release[0]}.")


def test_a_read_goes_to_the_replica(desk):
    shown = desk.run("SELECT COUNT(*) FROM orders")
    assert (shown.where, shown.table[0][0] > 0) == ("replica-1", True)


@pytest.mark.parametrize("table", ["tables", "columns", "statistics", "key_column_usage"])
def test_the_sizes_of_all_tables_are_held_back_on_the_primary(desk, table):
    desk.session.use("primary")
    text = INCIDENT if table == "tables" else f"SELECT * FROM information_schema.{table}"
    desk.run(text)
    assert desk.records("decided")[-1]["verdict"] == "elevate"


def test_a_change_waits_for_an_elevation_and_then_stays(release, desk):
    desk.run("UPDATE orders SET status = 'release' WHERE id = 1")
    cluster = release[1]
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT status FROM shop.orders WHERE id = 1")
        assert cursor.fetchone()[0] == "release"
    (intent,) = [record for record in desk.records("intent") if not record["read_only"]]
    assert intent["elevation"]


def test_a_statement_past_its_time_is_ended_on_the_server(desk):
    desk.session.tighten("run_seconds", 0.5)
    with pytest.raises(Exception, match="time limit|run_seconds"):
        desk.run("SELECT COUNT(*) FROM orders a, orders b, orders c")


def test_every_object_function_and_variable_of_a_release_is_classified(release):
    cluster = release[1]
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:

        def told(question):
            cursor.execute(question)
            return {name.lower() for (name,) in cursor.fetchall()}

        functions = told("SELECT function FROM information_schema.sql_functions")
        objects = told("SHOW TABLES FROM information_schema")
        variables = told(
            "SELECT variable_name FROM information_schema.system_variables WHERE variable_scope LIKE 'SESSION%'"
        )
    # Names of the grammar's own, and what sql_mode=ORACLE turns others into.
    known = MARIADB.functions.pure | set(MARIADB.functions.impure) | WITHHELD | {"schemas"}
    assert {name for name in functions - known if not name.endswith("_oracle")} == set()
    named = {name for row in MARIADB.catalogue.objects if row.schema == "information_schema" for name in row.names}
    assert objects - named - MARIADB.catalogue.cheap == set()
    assert variables - frozenset().union(*(row.names for row in SESSION_VARIABLES)) == set()


def test_the_page_says_of_a_release_what_it_does(release):
    assert capabilities(release[1]) == column_of(PAGE.read_text(), version_of(release[1]))


def test_a_release_by_number_is_never_taken_for_the_machines_own():
    own = find_server("mariadb")
    assert own is None or "@" not in str(own.base_directory)


def test_what_is_in_no_archive_is_told_with_what_is():
    with pytest.raises(ServersUnavailableError, match=r"known releases: 10\.5, 10\.11, 11\.8"):
        provide_server("mariadb", "12.3")
    assert all(packages for _, packages in RELEASES.values())
