"""Clients at a prompt of their own, on a real terminal: Ctrl-C, what they show, and what becomes of what they ran."""

import shutil
import time
import uuid

import pytest

from tests.gateway.test_ends import SLOW, marked, running_anywhere
from tests.harness.talking import wait_for
from tests.harness.terminal import AnyTerminal


def mariadb(gateway, home):
    words = (shutil.which("mariadb"), "-S", gateway.socket, "shop", "-A")
    return AnyTerminal(words, {"HOME": str(home)}), "[shop]> "


def mycli(gateway, home):
    # It asks nothing at its start but what it always asks; its own pager would wait for a key.
    (home / ".myclirc").write_text("[main]\nenable_pager = False\nless_chatty = True\n")
    (home / "audit").mkdir(exist_ok=True)
    words = (
        shutil.which("mycli"), "--socket", gateway.socket, "--user", "x", "--password", "", "--database", "shop",
        "--myclirc", str(home / ".myclirc"), "--logfile", str(home / "log"), "--prompt", "asks> ",
    )  # fmt: skip
    return AnyTerminal(words, {"HOME": str(home)}, size=(40, 200)), "asks> "


CLIENTS = {"mariadb": mariadb, "mycli": mycli}


@pytest.fixture(params=CLIENTS)
def prompt(request, gateway, tmp_path):
    """A client at its prompt, and a function that types a statement and waits for what it shows."""
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    terminal, ready = CLIENTS[request.param](gateway, tmp_path)

    def asks(text, shows):
        before = terminal.said().count(shows)
        terminal.type(text)
        terminal.wait_for(lambda: terminal.said().count(shows) > before)

    try:
        terminal.wait_for(lambda: ready.strip() in terminal.said(), at_most=60)
        yield terminal, asks
    finally:
        terminal.close()


def test_control_c_stops_the_statement_and_the_prompt_goes_on(gateway, prompt):
    terminal, asks = prompt
    mark = marked("ctrlc")
    terminal.type(f"{SLOW.format(mark=mark)};\r")
    wait_for(lambda: running_anywhere(gateway, mark))
    terminal.type("\x03")
    began = time.monotonic()
    wait_for(lambda: not running_anywhere(gateway, mark))
    print(f"gone {time.monotonic() - began:.2f} s after Ctrl-C")
    asks("SELECT 6 * 7007;\r", "42042")


def test_a_person_at_a_prompt_is_refused_elevates_and_writes(prompt):
    terminal, asks = prompt
    mark = f"typed{uuid.uuid4().hex[:5]}"
    asks("SELECT CONCAT('re', 'ads') FROM orders WHERE id = 2;\r", "reads")
    asks(
        f"UPDATE orders SET status = '{mark}' WHERE id = 17;\r",
        "CALL safeconsole.elevate('reason', 'ticket', 'shop'), then",
    )
    assert "1290" in terminal.said()
    asks("CALL safeconsole.elevate('a prompt', 'OPS-1');\r", "Query OK")
    asks(f"UPDATE orders SET status = '{mark}' WHERE id = 17;\r", "Query OK")
    asks("SELECT CONCAT('is ', status) FROM orders WHERE id = 17;\r", f"is {mark}")
    asks("SELECT role FROM safeconsole.topology WHERE role = 'primary';\r", "primary")


def test_dolphie_shows_its_panels(gateway, tmp_path):
    """A monitor: what it may not see it says, and the rest of it goes on."""
    program = shutil.which("dolphie")
    if program is None:
        pytest.skip("no dolphie here")
    words = (program, "-S", gateway.socket, "-u", "x", "--pypi-repo", "http://127.0.0.1:9/")
    terminal = AnyTerminal(words, {"HOME": str(tmp_path), "COLUMNS": "200", "LINES": "60"}, size=(60, 200))
    with gateway.connect_socket() as connection:
        version = connection.get_server_info().removeprefix("5.5.5-").partition("-")[0]
    try:
        for shown in ("Host Information", "Replication", "Processlist", version):
            terminal.wait_for(lambda shown=shown: shown in terminal.said(), at_most=90)
        # Whole statements of others are for the account for diagnosis.
        wait_for(lambda: any(record["account"] == "diagnose" for record in gateway.records("intent")))
    finally:
        terminal.close()
