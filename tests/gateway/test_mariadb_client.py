"""The mariadb client through a gateway: at its prompt, with Ctrl-C, and as a script."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

from tests.gateway.test_ends import SLOW, marked, running_anywhere
from tests.harness.talking import wait_for

CLIENT = shutil.which("mariadb")
pytestmark = pytest.mark.skipif(CLIENT is None, reason="no mariadb client here")


def run(gateway, text, *words):
    return subprocess.run([CLIENT, "-S", gateway.socket, "shop", *words, "-e", text], capture_output=True, text=True)


def test_a_script_reads_is_refused_elevates_and_writes(gateway):
    refused = run(gateway, "SELECT id FROM orders WHERE id = 1; UPDATE orders SET status = 'cli' WHERE id = 15")
    assert refused.stdout.split() == ["id", "1"]
    assert "ERROR 1290 (HY000)" in refused.stderr
    assert "CALL safeconsole.elevate('reason', 'ticket', 'shop')" in refused.stderr
    done = run(
        gateway,
        "CALL safeconsole.elevate('incident', 'OPS-1'); UPDATE orders SET status = 'cli' WHERE id = 15;"
        " SELECT status FROM orders WHERE id = 15; SHOW WARNINGS",
        "-vv",
    )
    assert done.returncode == 0, done.stderr
    assert "elevated on shop for 15 minutes" in done.stdout
    assert "Rows matched: 1" in done.stdout
    assert "cli" in done.stdout.split("SELECT status")[1]


def test_over_tcp_with_tls_and_a_token(gateway):
    said = subprocess.run(
        [CLIENT, "-h", gateway.host, "-P", str(gateway.port), "-u", "anna", f"--ssl-ca={gateway.ca}",
         "--ssl-verify-server-cert", "shop", "-N", "-e", "SELECT 6 * 7; \\s"],
        capture_output=True, text=True, env={**os.environ, "MYSQL_PWD": gateway.token("anna")},
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("42")
    assert "Cipher in use is" in said.stdout


class Terminal:
    """The client at a prompt."""

    def __init__(self, gateway):
        self.pid, self._terminal = pty.fork()
        if not self.pid:
            os.execv(CLIENT, [CLIENT, "-S", gateway.socket, "shop"])

    def until(self, pattern, at_most=30):
        shown, deadline = "", time.monotonic() + at_most
        while not re.search(pattern, shown):
            assert time.monotonic() < deadline, shown
            if select.select([self._terminal], [], [], 0.2)[0]:
                shown += os.read(self._terminal, 65536).decode(errors="replace")
        return shown

    def type(self, text):
        os.write(self._terminal, text.encode())

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)


def test_control_c_stops_the_statement_and_the_prompt_goes_on(gateway):
    mark, terminal = marked("ctrlc"), Terminal(gateway)
    try:
        terminal.until(r"\[shop\]> ")
        terminal.type(f"{SLOW.format(mark=mark)};\n")
        wait_for(lambda: running_anywhere(gateway, mark))
        terminal.type("\x03")
        assert "ERROR 1317 (70100)" in terminal.until(r"ERROR \d+")
        wait_for(lambda: not running_anywhere(gateway, mark))
        terminal.type("SELECT 6 * 7;\n")
        terminal.until(r"\b42\b")
    finally:
        terminal.close()
