"""Servers that are not used, and what is said of each: by what they greet with, and by what they do not answer."""

from pathlib import Path

import pytest

from benchmarks.servers import tables_in
from safeconsole.dialects.mariadb import MARIADB
from safeconsole.dialects.mysql import AURORA_MYSQL, MYSQL
from safeconsole.errors import UnreachableError
from safeconsole.mysql.opening import open_line
from safeconsole.mysql.dialling import login_for, resolve
from safeconsole.mysql.recognising import OLDEST_MARIADB, OLDEST_MYSQL, check_greeting, check_identity
from safeconsole.config.secrets import Secret
from safeconsole.config.settings import TlsSettings

from tests.harness.imitating import Stranger


def nothing(_text):
    """A server that knows no variable, and says so with rows that are not there."""
    return [] if _text.upper().startswith(("SELECT", "SHOW")) else None


def empty(text):
    """One that answers each column with an empty text."""
    if not text.upper().startswith("SELECT"):
        return None
    return [("",) * (text.split(" FROM ")[0].count(",") + 1)]


def open_to(address):
    place = resolve(address)
    login = login_for(place, TlsSettings(mode="disabled"), secret=Secret(account="a", password="p"), connect_seconds=5)
    return open_line(login, place)


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        ("5.6.24", "is MySQL 5.6.24, which is not supported: 8.0 is the oldest that is"),
        ("5.7.44-log", "is MySQL 5.7.44-log, which is not supported"),
        ("5.7.mysql_aurora.2.11.2", "is MySQL 5.7.mysql_aurora.2.11.2, which is not supported"),
        ("5.5.5-10.4.32-MariaDB", "is MariaDB 10.4.32-MariaDB, which is not supported: 10.5 is the oldest that is"),
        ("8.0.11-TiDB-v8.5.3", "is TiDB (8.0.11-TiDB-v8.5.3), which is not supported: use the client that"),
        (
            "8.0.30-Vitess",
            "is Vitess (8.0.30-Vitess), which is not supported: name the MySQL servers behind it in nodes",
        ),
        ("9.7.4-router", "is MySQL Router (9.7.4-router), which is not supported: name the MySQL servers behind it"),
        ("5.7.25-OceanBase seekdb-v1.4.0", "is OceanBase"),
        ("5.5.30", "where a proxy greets so for a newer server, name that server in nodes"),
        ("hello", "greets as 'hello': it is another product"),
    ],
)
def test_what_a_server_greets_with_may_be_enough_to_let_it_be(greeting, words):
    with pytest.raises(UnreachableError) as caught:
        check_greeting(greeting, address="db-1:3306")
    assert caught.value.message.startswith("db-1:3306 ")
    assert words in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("greeting", ["8.0.11", "8.0.36-28.1", "9.7.4-2", "5.5.5-10.5.23-MariaDB", "11.8.9-MariaDB"])
def test_what_is_supported_may_greet(greeting):
    check_greeting(greeting, address="db-1:3306")


@pytest.mark.parametrize(
    ("dialect", "greeting", "told", "words"),
    [
        (MYSQL, "8.0.36", ("", "8.0.36", ""), "does not say which server it is"),
        (MYSQL, "8.0.36", (None, None, None), "does not say which server it is"),
        (MYSQL, "8.0.36", ("u-1", "8.0.36", "TiDB Server (Apache License 2.0)"), "is TiDB"),
        (MYSQL, "8.0.36", ("u-1", "", ""), "greets as 8.0.36 and answers as : a proxy"),
        (MYSQL, "8.0.11", ("u-1", "8.0.36-28", "Percona"), "greets as 8.0.11 and answers as 8.0.36-28: a proxy"),
        (MARIADB, "10.6.1-MariaDB", ("h:1/2", "10.11.6-MariaDB", ""), "a proxy stands before it"),
    ],
)
def test_who_greeted_must_be_who_answers(dialect, greeting, told, words):
    with pytest.raises(UnreachableError) as caught:
        check_identity(dialect, greeting, told, address="db-1:3306")
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("dialect", "greeting", "told"),
    [
        (MYSQL, "8.0.36-28", ("u-1", "8.0.36-28", "Percona Server (GPL), Release 28")),
        (MARIADB, "5.5.5-10.11.6-MariaDB-log", ("h:1/2", "10.11.6-MariaDB-log", "")),
        (AURORA_MYSQL, "8.0.28", ("db-1", "8.0.mysql_aurora.3.05.2", "Source distribution")),
    ],
)
def test_a_server_that_says_the_same_twice_is_used(dialect, greeting, told):
    check_identity(dialect, greeting, told, address="db-1:3306")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (nothing, "does not say what holds on a session: it is another product than MySQL or MariaDB"),
        (empty, "does not say what holds on a session: it is another product than MySQL or MariaDB"),
    ],
)
def test_a_stranger_that_speaks_the_protocol_is_no_aurora_and_is_not_used(answer, words):
    with Stranger("8.0.36", answer) as stranger, pytest.raises(UnreachableError) as caught:
        open_to(stranger.address)
    assert words in caught.value.message
    assert not [text for text in stranger.asked if "replica_host_status" in text]


def test_one_that_is_not_supported_is_asked_nothing():
    with Stranger("8.0.11-TiDB-v8.5.3", nothing) as stranger, pytest.raises(UnreachableError, match="is TiDB"):
        open_to(stranger.address)
    assert stranger.asked == []


def test_the_readme_and_the_page_claim_what_is_let_in():
    root = Path(__file__).parents[2]
    mysql, mariadb = (f"{version // 10000}.{version // 100 % 100}" for version in (OLDEST_MYSQL, OLDEST_MARIADB))
    assert f"MySQL {mysql}+, MariaDB {mariadb}+, Aurora MySQL 3 (" in (root / "README.md").read_text()
    page = (root / "docs/servers.md").read_text()
    assert f"MySQL {mysql} and later, MariaDB {mariadb} and later, Aurora MySQL 3." in page
    columns = tables_in(page)
    assert {cell for column in columns.values() for cell in column.values()} <= {"yes", "never met"}
    # A column is a version that was tried, or says that it was not.
    untried = [name for name, column in columns.items() if "never met" in column.values()]
    assert all(set(columns[name].values()) == {"never met"} for name in untried)
