"""The commands that are measured beside each other, and how: their processor time, wall time and memory."""

import os
import pty
import select
import statistics
import subprocess
import sys
import time
import venv
from dataclasses import dataclass
from pathlib import Path

from safeconsole.config.settings import variable_for

READY = b"\x1b[?12l\x1b[?25h"
"""What prompt-toolkit sends when it has drawn a prompt: show the cursor. Both consoles are made with it."""

SIGN = b"> "
"""How our prompt ends. mycli's is drawn at once with what shows the cursor, so it is seen when it is ready."""

LOOK_SECONDS = 0.02


SCRIPT = """
import csv, os, sys, pymysql
from pymysql.cursors import Cursor, SSCursor
connection = pymysql.connect(
    host="127.0.0.1", port=int(sys.argv[1]), user="console_read", password=os.environ["MYSQL_PWD"], database="shop",
    ssl_disabled=True,
)
cursor = connection.cursor(SSCursor if len(sys.argv) > 3 else Cursor)
cursor.execute(sys.argv[2])
out = csv.writer(sys.stdout)
out.writerow([column[0] for column in cursor.description])
for row in cursor:
    out.writerow(row)
connection.close()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """
    What a command costs.

    Attributes:
        cpu: seconds of the processor, its own and the kernel's for it; the least of the runs.
        wall: seconds from start to end; the median.
        memory_mb: the most that was resident, 0 when not measured.
        visible: seconds until a prompt could be seen and typed at, the median; 0 where there is none.
    """

    cpu: float
    wall: float
    memory_mb: float = 0.0
    visible: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """
    The commands of everybody on one cluster.

    Attributes:
        config: our configuration.
        python: the interpreter of the script's own environment.
        script: a file with `SCRIPT`.
        port: of the replica that the others ask.
        environ: for all of them.
        mycli, client: their programs, or None.
    """

    config: Path
    python: str
    script: Path
    port: int
    environ: dict[str, str]
    mycli: str | None
    client: str | None

    def one_shots(self) -> dict[str, list[str]]:
        """Return what runs one trivial statement."""
        return {
            "PyMySQL script": [self.python, str(self.script), str(self.port), "SELECT 1"],
            "safeconsole": [*self._ours(), "-e", "SELECT 1", "--format", "csv"],
            **({"mycli": [*self._mycli(), "--csv", "-e", "SELECT 1"]} if self.mycli else {}),
            **({"C client": [*self._client(), "-e", "SELECT 1"]} if self.client else {}),
        }

    def exports(self) -> dict[str, list[str]]:
        """Return what writes a large result as CSV."""
        text = "SELECT * FROM many"
        limits = ["--max-rows", "9000000", "--timeout", "600"]
        return {
            "PyMySQL script": [self.python, str(self.script), str(self.port), text, "stream"],
            "safeconsole": [*self._ours(), "-e", text, "--format", "csv", *limits],
            **({"mycli": [*self._mycli(), "--csv", "-e", text]} if self.mycli else {}),
            **({"C client": [*self._client(), "--quick", "-e", text]} if self.client else {}),
        }

    def formats(self) -> dict[str, list[str]]:
        """Return what writes a large result in other formats, the C client's first."""
        plain = "SELECT * FROM many"
        quoted = "SELECT id, customer, CONCAT('a \"', status, '\"') AS status, total, created FROM many"
        limits = ["--max-rows", "9000000", "--max-bytes", "4G", "--timeout", "600"]
        theirs = {"C client": [*self._client(), "--quick", "-e", quoted]} if self.client else {}
        return theirs | {
            "safeconsole, CSV": [*self._ours(), "-e", plain, "--format", "csv", *limits],
            "safeconsole, CSV with quotes": [*self._ours(), "-e", quoted, "--format", "csv", *limits],
            "safeconsole, a table": [*self._ours(), "-e", plain, "--format", "table", *limits],
        }

    def prompts(self) -> dict[str, list[str]]:
        """Return what opens a console."""
        return {"safeconsole": self._ours(), **({"mycli": self._mycli()} if self.mycli else {})}

    def _ours(self) -> list[str]:
        return [sys.executable, "-m", "safeconsole", "--config", str(self.config), "sql", "shop"]

    def _mycli(self) -> list[str]:
        assert self.mycli
        return [self.mycli, *self._login(), "--ssl-mode=off"]

    def _client(self) -> list[str]:
        assert self.client
        return [self.client, "--no-defaults", *self._login(), "--skip-ssl", "--batch"]

    def _login(self) -> list[str]:
        return ["-h", "127.0.0.1", "-P", str(self.port), "-u", "console_read", "-D", "shop"]


def environment(directory: Path, package: str, *more: str) -> Path:
    """Make an environment with one package, compiled; returns its directory of programs."""
    venv.create(directory, with_pip=True)
    pip = [str(directory / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    subprocess.run([*pip, package, *more], check=True, stderr=subprocess.DEVNULL)
    return directory / "bin"


def peers_of(cluster, directory: Path, config: Path, *, mycli: str | None, client: str | None, python: str) -> Commands:
    """Return the commands for a running cluster; nothing of this computer's own settings reaches them.

    Nobody finds the packages of anybody else: ours are found since they run here.
    """
    script = directory / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    password = cluster.accounts["console_read"]
    # Bytecode is kept, as it is for every installed program.
    keep_out = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPYCACHEPREFIX"}
    environ = {name: value for name, value in os.environ.items() if name not in keep_out} | {
        "HOME": str(directory),
        "TERM": "xterm-256color",
        "MYSQL_PWD": password,
        variable_for("shop", "console_read"): password,
        "PYTHONPYCACHEPREFIX": str(directory / "bytecode"),
    }
    replica = cluster.replicas[0]
    return Commands(
        config=config, python=python, script=script, port=replica.port, environ=environ, mycli=mycli, client=client
    )


def interleaved(commands: dict[str, list[str]], environ: dict[str, str], *, times: int) -> dict[str, Cost]:
    """Run commands in turn, so many times and once before to warm up; returns the cost of each."""
    found: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(times + 1):
        for name, command in commands.items():
            cost = _cost(command, environ)
            if turn or times == 1:
                found[name].append(cost)
    return {name: _of(costs) for name, costs in found.items()}


def prompt_cost(command: list[str], environ: dict[str, str], *, times: int) -> Cost:
    """Return what it takes until a console is ready for typing; its processor time is until it has left."""
    return _of([_prompted(command, environ) for _ in range(times + 1)][1:])


def _of(costs: list[Cost]) -> Cost:
    return Cost(
        cpu=min(cost.cpu for cost in costs),
        wall=statistics.median(cost.wall for cost in costs),
        memory_mb=max(cost.memory_mb for cost in costs),
        visible=statistics.median(cost.visible for cost in costs),
    )


def _cost(command: list[str], environ: dict[str, str]) -> Cost:
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    memory_mb = _most_resident(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} exited with {process.returncode}: {' '.join(command[1:])}")
    wall = time.perf_counter() - started
    return Cost(cpu=usage.ru_utime + usage.ru_stime, wall=wall, memory_mb=memory_mb)


def _most_resident(child: int) -> float:
    """Wait for a child's end and return the most that it had resident, in MB; `wait4` would tell its parent's too."""
    most, ended = 0.0, os.pidfd_open(child)
    status = Path(f"/proc/{child}/status")
    while not select.select([ended], [], [], LOOK_SECONDS)[0]:
        peaks = [line.split()[1] for line in status.read_text(encoding="ascii").splitlines() if "VmHWM" in line]
        most = max(most, *(int(peak) / 1024 for peak in peaks), 0.0)
    os.close(ended)
    return most


def _prompted(command: list[str], environ: dict[str, str]) -> Cost:
    started = time.perf_counter()
    child, terminal = pty.fork()
    if not child:
        os.execvpe(command[0], command, environ)
    seen, visible = b"", 0.0
    while READY not in seen:
        piece = _read(terminal, 60)
        if not piece:
            raise SystemExit(f"{command[0]} shows no prompt: {seen!r}")
        if b"\x1b[6n" in piece:
            os.write(terminal, b"\x1b[1;1R")
        seen += piece
        if not visible and SIGN in seen:
            visible = time.perf_counter() - started
    wall = time.perf_counter() - started
    # A console that is asked to leave while it still settles may miss it.
    time.sleep(0.5)
    os.write(terminal, b"\x04")
    while _read(terminal, 10):
        pass
    os.close(terminal)
    _, _, usage = os.wait4(child, 0)
    return Cost(cpu=usage.ru_utime + usage.ru_stime, wall=wall, visible=visible or wall)


def _read(terminal: int, seconds: float) -> bytes:
    if not select.select([terminal], [], [], seconds)[0]:
        return b""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        # Its other end is closed: the console has left.
        return b""
