"""
Clients that are not ours: each reads, is refused a write with the way to elevate, elevates, writes, and sees the row.

Those that this machine has; CI has what Debian, PyPI and npm have.
"""

import os
import shutil
import subprocess
import sys
import uuid
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "clients"
JDBC = Path("/usr/share/java/mariadb-java-client.jar")
GO_SOURCES = Path("/usr/share/gocode/src/github.com/go-sql-driver/mysql")


def has_python(*modules):
    return all(find_spec(name) for name in modules)


@cache
def succeeds(*command):
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True).returncode == 0


def has_node_mysql2():
    """Whether Node finds mysql2: by NODE_PATH, as a play's script has no modules beside it."""
    return succeeds("node", "-e", "require('mysql2')")


def has_go():
    return bool(shutil.which("go")) and GO_SOURCES.is_dir()


PYTHON = {
    "pymysql": ("pymysql",),
    "connector": ("mysql.connector",),
    "connector-prepared": ("mysql.connector",),
    "mysqlclient": ("MySQLdb",),
    "sqlalchemy-pymysql": ("sqlalchemy", "pymysql"),
    "sqlalchemy-mysqlconnector": ("sqlalchemy", "mysql.connector"),
    "sqlalchemy-mysqldb": ("sqlalchemy", "MySQLdb"),
    "django": ("django", "MySQLdb"),
}


def clients():
    """Yield every client: its name, its command, and what it needs."""
    for name, needs in PYTHON.items():
        yield name, (sys.executable, str(HERE / "play.py"), name), lambda needs=needs: has_python(*needs)
    for how in ("query", "execute"):
        yield f"node-{how}", ("node", str(HERE / "play.js"), how), has_node_mysql2
    for how in ("text", "prepared"):
        yield f"ruby-{how}", ("ruby", str(HERE / "play.rb"), how), lambda: succeeds("ruby", "-e", "require 'mysql2'")
    for driver in ("mysql", "MariaDB"):
        yield (
            f"perl-{driver}",
            ("perl", str(HERE / "play.pl"), driver),
            lambda driver=driver: succeeds("perl", "-e", f"use DBI; use DBD::{driver};"),
        )
    for how in ("prepared", "interpolated"):
        yield f"go-{how}", (go_program, how), has_go
        yield (
            f"jdbc-{how}",
            ("java", "-cp", str(JDBC), str(HERE / "Play.java"), how),
            lambda: JDBC.exists() and succeeds("java", "-version"),
        )


@cache
def go_program():
    """Compile the Go client once a run of this process; return its path."""
    place = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    environ = os.environ | {"GOPATH": "/usr/share/gocode", "GO111MODULE": "off", "GOCACHE": str(place / "cache")}
    program = str(place / "play")
    subprocess.run(["go", "build", "-o", program, str(HERE / "play.go")], check=True, env=environ, capture_output=True)
    return program


def play(gateway, command, person, **more):
    """Run a client's play, and return what it printed by word, and its row."""
    row, mark = uuid.uuid4().int % 3000 + 1000, f"by-{uuid.uuid4().hex[:6]}"
    program, *arguments = command
    environ = os.environ | {
        "G_HOST": gateway.host, "G_SOCKET": gateway.socket, "G_PORT": str(gateway.port), "G_CA": str(gateway.ca), "G_USER": person,
        "G_TOKEN": gateway.token(person), "G_ID": str(row), "G_MARK": mark, **more,
    }  # fmt: skip
    found = subprocess.run(
        (program() if callable(program) else program, *arguments),
        capture_output=True,
        text=True,
        timeout=120,
        env=environ,
    )
    assert found.returncode == 0, found.stdout + found.stderr + gateway.said[-2000:]
    return dict(line.split(":", 1) for line in found.stdout.splitlines() if ":" in line), mark


@pytest.mark.parametrize(("name", "command", "there"), [pytest.param(*each, id=each[0]) for each in clients()])
def test_a_client_reads_is_refused_elevates_writes_and_sees_the_row(gateway, name, command, there):
    if not there():
        pytest.skip(f"no {name} here")
    said, mark = play(gateway, command, f"p-{name}")
    assert said["read"]
    number, _, told = said["refused"].partition(":")
    assert number == "1290"
    assert "CALL safeconsole.elevate(" in told
    assert said["saw"] == mark
    if name != "perl-mysql":
        # It comes by the socket, as the account that runs the tests.
        assert gateway.records("session-opened", f"p-{name}")
