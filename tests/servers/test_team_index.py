"""The index of a team's pages on real servers."""

from safeconsole.audit.central_archive import PAGE_ROWS
from safeconsole.audit.review import ReviewAct, ReviewState
from safeconsole.audit.search import Query
from tests.harness.journals import HandClock, write_session
from tests.harness.team import archive_of
from tests.servers.test_central_database import postgres  # noqa: F401 - a fixture


def check_index(directory, url):
    """What the pages of a team show is found, page after page, and reviewed, also where lines hold anything."""
    for number in range(PAGE_ROWS + 20):
        write_session(directory, HandClock(number), session=f"s{number:03d}", statements=1, elevated=number % 2 == 0)
    engine, indexer, archive = archive_of(url, directory=directory)
    try:
        first, place = archive.sessions(state="all")
        rest, end = archive.sessions(state="all", before=place)
        assert [one.summary.session for one in (*first, *rest)] == [
            f"s{n:03d}" for n in reversed(range(PAGE_ROWS + 20))
        ]
        assert end is None
        assert len(archive.sessions()[0]) == PAGE_ROWS // 2 + 10
        found = archive.statements(Query(text="ORDERS", table="orders", ticket="inc-7"))
        assert (len(found.statements), found.is_whole) == (PAGE_ROWS // 2 + 10, True)
        assert archive.statements(Query(text="100%")).statements == ()
        head = archive.session("s000").summary.head
        archive.review("s000", head, ReviewAct.FLAG, "why? \0 \U0001f600", by="cleo", also=frozenset({"cleo"}))
        assert archive.session("s000").state is ReviewState.FLAGGED
        assert archive.findings(archive.session("s000").summary) == ()
        assert archive.counts() == {"queued": PAGE_ROWS // 2 + 10, "live": 0, "damaged": 0}
        assert indexer.step() == 0
    finally:
        engine.dispose()


def test_postgresql_keeps_the_index_of_a_teams_pages(postgres, tmp_path):  # noqa: F811
    check_index(tmp_path / "audit", postgres[0])


def test_a_server_of_the_family_keeps_the_index_of_a_teams_pages(cluster, tmp_path):
    node = cluster.primary
    with cluster.dba_connect(node) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE central_index CHARACTER SET utf8mb4")
    try:
        url = f"mysql+pymysql://root@localhost/central_index?charset=utf8mb4&unix_socket={node.socket}"
        check_index(tmp_path / "audit", url)
    finally:
        with cluster.dba_connect(node) as connection, connection.cursor() as cursor:
            cursor.execute("DROP DATABASE central_index")
