"""Where servers come from: the environment, the cache, this machine's own archives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from safeconsole.demo import binaries
from safeconsole.demo import archives
from tests.harness.terminal import AnyTerminal

ROOT = Path(__file__).parents[2]
DEBIAN = archives.Distribution(identifier="debian", codename="bookworm")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run_main(directory, *arguments, **environment):
    return subprocess.run(
        (sys.executable, "-m", "safeconsole.demo.binaries", *arguments),
        cwd=ROOT,
        env={**os.environ, "SAFECONSOLE_SERVERS_DIR": str(directory), **environment},
        capture_output=True,
        text=True,
    )


def test_one_line_sources_are_read(tmp_path):
    write(
        tmp_path / "sources.list",
        "# deb http://commented.test/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main contrib # ours\n"
        "deb-src http://source.test/debian bookworm main\n"
        "deb http://mirror.test/debian bookworm-updates main\n",
    )
    found = archives.machine_archives(DEBIAN, tmp_path)
    assert found == (archives.PackageArchive(uri="http://mirror.test/debian", suite="bookworm", components=("main",)),)


def test_paragraph_sources_are_read(tmp_path):
    write(
        tmp_path / "sources.list.d" / "debian.sources",
        "Types: deb deb-src\n# a comment\nURIs: http://mirror.test/debian\n"
        "Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\n"
        "Types: deb\nURIs: http://off.test/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n",
    )
    assert [archive.uri for archive in archives.machine_archives(DEBIAN, tmp_path)] == ["http://mirror.test/debian"]


def test_third_party_and_disabled_files_are_left_out(tmp_path):
    write(tmp_path / "sources.list.d" / "tool.list", "deb http://tool.test/x bookworm stable\n")
    write(
        tmp_path / "sources.list.d" / "node.sources",
        "Types: deb\nURIs: http://n.test\nSuites: nodistro\nComponents: main\n",
    )
    write(tmp_path / "sources.list.d" / "old.list.disabled", "deb http://old.test/debian bookworm main\n")
    assert archives.machine_archives(DEBIAN, tmp_path) == ()


@pytest.mark.servers
@pytest.mark.parametrize("flavour", binaries.FLAVOURS)
def test_a_provided_server_runs_and_is_the_flavour_asked_for(flavour, shared_clusters):
    shared_clusters(flavour)
    found = binaries.find_server(flavour)
    assert found.flavour == flavour
    assert ("MariaDB" in found.version) == (flavour == "mariadb")
    done = subprocess.run((*found.command, "--no-defaults", "--version"), capture_output=True, text=True)
    assert found.version in done.stdout


def test_a_daemon_named_in_the_environment_that_does_not_run_is_an_error(tmp_path):
    done = run_main(tmp_path, "mysql", SAFECONSOLE_MYSQLD="/bin/true")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "NO MYSQL" in done.stderr
    assert "/bin/true" in done.stderr
    assert done.stdout == ""


def test_a_machine_without_archives_is_told_how_to_get_servers(tmp_path):
    """Nothing on the search path and no apt: one line for each flavour that says what to do."""
    empty = tmp_path / "empty"
    empty.mkdir()
    if any(Path(place, name).exists() for place in ("/usr/sbin", "/usr/local/sbin") for name in ("mysqld", "mariadbd")):
        pytest.skip("this machine has a server installed")
    done = run_main(tmp_path / "cache", PATH=str(empty))
    assert done.returncode == 1
    loud = [line for line in done.stderr.splitlines() if "NO " in line]
    assert len(loud) == 2
    assert all("make servers" in line for line in loud)


def test_an_unknown_flavour_is_a_usage_error(tmp_path):
    assert run_main(tmp_path, "oracle").returncode == 2


def test_a_half_fetched_server_is_not_taken_for_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFECONSOLE_SERVERS_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    (tmp_path / ".partial-mysql-abc" / "tree" / "usr" / "sbin").mkdir(parents=True)
    (tmp_path / "mysql-0.0").mkdir()
    assert binaries._from_cache("mysql") is None


def test_a_demo_on_a_terminal_offers_the_real_server_that_is_here(mysql_cluster, tmp_path):
    held = str(binaries.servers_directory())
    environment = {"HOME": str(tmp_path), "USER": "ada", "SAFECONSOLE_SERVERS_DIR": held}
    terminal = AnyTerminal((sys.executable, "-m", "safeconsole", "demo"), environment)
    try:
        terminal.wait_for(lambda: "[Y/n]" in terminal.said())
        assert f"mysql {binaries.find_server('mysql').version} is on this machine" in terminal.said()
        terminal.type("n\n")
        terminal.wait_for(lambda: "A shop of its own (embedded)" in terminal.said())
        terminal.wait_for(lambda: "shop" in terminal.said().rpartition("leaves")[2])
        terminal.type("\\quit\r")
        assert terminal.leaves() == 0
    finally:
        terminal.close()
