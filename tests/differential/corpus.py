"""
The servers' own regression suites, fetched from this machine's package archive, cut into statements.

`python -m tests.differential.corpus` fetches both and says how many statements there are. Nothing
of it is committed: it lies in the cache beside the server binaries.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from safeconsole.demo import binaries
from safeconsole.demo import archives

PACKAGES = {
    "mariadb": ("mariadb-test-data",),
    "mysql": ("mysql-testsuite", "mysql-testsuite-9.7", "mysql-testsuite-8.4", "mysql-testsuite-8.0"),
}
# Commands of the test driver; the rest of such a line, or block, never reaches a server.
DRIVER = frozenset(
    """
    append_file assert break cat_file change_user character_set chmod connect connection copy_file copy_files_wildcard
    dec delimiter die diff_files dirty_close disable_abort_on_error disable_async_client disable_connect_log
    disable_info disable_metadata disable_parsing disable_ps_protocol disable_query_log disable_reconnect
    disable_result_log disable_session_track_info disable_testcase disable_warnings disconnect echo
    enable_abort_on_error enable_connect_log enable_info enable_metadata enable_parsing enable_ps_protocol
    enable_query_log enable_reconnect enable_result_log enable_testcase enable_warnings end error eval evalp exec
    exec_in_background execw exit expr file_exists force-cpdir force-rmdir horizontal_results if inc let list_files
    list_files_append_file list_files_write_file lowercase_result mkdir move_file output perl ping
    query query_attributes query_get_value query_horizontal query_vertical real_sleep reap remove_file
    remove_files_wildcard replace_column replace_numeric_round replace_regex replace_result require
    reset_connection result_format rmdir save_master_pos send send_eval send_quit send_shutdown shutdown_server
    skip skip_if_hypergraph sleep sorted_result partially_sorted_result source start_timer sync_slave_with_master
    sync_with_master system timer vertical_results wait_for_slave_to_stop while write_file write_line optimizer_trace
    disable_ps2_protocol enable_ps2_protocol disable_view_protocol enable_view_protocol disable_cursor_protocol
    enable_cursor_protocol disable_service_connection enable_service_connection enable_prepare_warnings
    disable_prepare_warnings force-restart
    """.split()
)


def suite_directory(flavour: str) -> Path:
    """Return where the suite of a flavour lies, fetching it when it is not there yet."""
    place = binaries.servers_directory() / f"suite-{flavour}"
    if place.is_dir():
        return place
    with binaries.exclusive(binaries.servers_directory() / f"suite-{flavour}.lock"):
        if not place.is_dir():
            _fetch(flavour, place)
    return place


def _fetch(flavour: str, place: Path) -> None:
    """Download one package, without what it depends on, and unpack it whole or not at all."""
    distribution = archives.read_distribution()
    failures = []
    for found in archives.machine_archives(distribution):
        archive = found
        if flavour == "mysql" and distribution.identifier == "debian":
            archive = archives.PackageArchive(uri=found.uri, suite="sid", components=("main",))
        partial = Path(tempfile.mkdtemp(prefix=f".partial-suite-{flavour}-", dir=place.parent))
        try:
            _unpack(flavour, archive, distribution.identifier, partial)
            (partial / "tree").rename(place)
        except archives.ArchiveError as error:
            failures.append(str(error))
        else:
            return
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    raise archives.ArchiveError("; ".join(failures) or "no package archive")


def _unpack(flavour: str, archive: archives.PackageArchive, keyring_of: str, into: Path) -> None:
    apt = into / "apt"
    archives._lay_out_private_apt(apt, archive, keyring_of)
    archives._apt(apt, "update")
    for package in PACKAGES[flavour]:
        try:
            archives._apt(apt, "download", package)
        except archives.ArchiveError as error:
            reason = error
            continue
        (file,) = (apt / "packages").glob("*.deb")
        (into / "tree").mkdir()
        subprocess.run(("dpkg", "-x", str(file), str(into / "tree")), check=True)
        return
    raise reason


def test_files(flavour: str) -> list[Path]:
    """Return the files of the suite that hold statements, in a stable order."""
    return sorted(path for path in suite_directory(flavour).rglob("*") if path.suffix in {".test", ".inc"})


def statements_of(path: Path) -> list[tuple[str, bool]]:
    """
    Return the statements of one test file, and for each whether the test expects an error.

    The driver's own language is dropped: its commands, and lines that use its variables.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    return list(_statements(text))


def _statements(text: str) -> Iterator[tuple[str, bool]]:
    delimiter, failing = ";", False
    buffer: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        stripped = line.strip()
        if not buffer:
            if not stripped or stripped.startswith(("#", "}", "{")):
                continue
            command = _command(stripped)
            if command is not None:
                failing = failing or command == "error"
                if command == "delimiter":
                    delimiter = _new_delimiter(stripped, delimiter)
                elif command in {"perl", "write_file", "append_file"}:
                    _skip_block(lines, stripped)
                elif command not in {"error", "echo"} and not stripped.startswith("--"):
                    _skip_command(lines, stripped, delimiter)
                continue
        buffer.append(line)
        if stripped.endswith(delimiter):
            found = "\n".join(buffer).strip().removesuffix(delimiter).strip()
            buffer = []
            if found and "$" not in found:
                yield found, failing
            failing = False


def _command(line: str) -> str | None:
    """Return the driver's command that a line begins with, or None."""
    dashed = line.startswith("--") and not line.startswith("-- ")
    word = re.match(r"(?:--\s*)?([A-Za-z_-]+)", line)
    name = word.group(1).lower() if word else ""
    if name in DRIVER and (
        dashed or not re.match(r"(sleep|end|if|while|query|system|skip)\b\s*(?=[^\s(])", line.lower())
    ):
        return name
    if line.startswith("--"):
        return "comment"
    return None


def _new_delimiter(line: str, delimiter: str) -> str:
    words = line.removeprefix("--").split(None, 1)
    rest = words[1].strip() if len(words) > 1 else ";"
    return rest.removesuffix(delimiter).strip() or rest


def _skip_block(lines: Iterator[str], first: str) -> None:
    words = first.rstrip(";").split()
    end = words[-1] if len(words) > 2 else "EOF"
    for line in lines:
        if line.strip().rstrip(";") in {end, "EOF"}:
            return


def _skip_command(lines: Iterator[str], first: str, delimiter: str) -> None:
    line = first
    while not line.rstrip().endswith((delimiter, "{", "}", ";")):
        line = next(lines, delimiter)


def main() -> int:
    for flavour in PACKAGES:
        files = test_files(flavour)
        count = len({found for path in files for found, _ in statements_of(path)})
        sys.stdout.write(f"{flavour}: {len(files)} files, {count} distinct statements in {suite_directory(flavour)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
