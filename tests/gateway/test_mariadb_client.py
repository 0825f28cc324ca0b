"""The mariadb client through a gateway, as a script."""

import os
import shutil
import subprocess

import pytest

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
