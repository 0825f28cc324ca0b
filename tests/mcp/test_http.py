"""Agents over HTTP: a token each, nothing without one, and no page of a browser's."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager

import anyio
import httpx2
import pytest

from safeconsole.demo.stage import staged
from tests.harness.talking import wait_for
from tests.mcp.test_server import UPDATE, said

mcp = pytest.importorskip("mcp")

from mcp import ClientSession  # noqa: E402
from mcp.client.streamable_http import streamable_http_client  # noqa: E402

HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}  # fmt: skip


@contextmanager
def serving(config, *arguments):
    command = (sys.executable, "-m", "safeconsole", "--config", str(config), "mcp", "shop", "--listen", *arguments)
    environ = {"PATH": os.environ["PATH"], "HOME": str(config.parent), "USER": "tester"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
    line = process.stdout.readline()
    try:
        yield json.loads(line)["listen"] if line else process.stderr.read()
    finally:
        process.send_signal(signal.SIGTERM)
        _, said_last = process.communicate(timeout=30)
        assert "Traceback" not in said_last


def token(config, *arguments):
    """Run `safeconsole token` and return what it prints."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(config.parent), "USER": "tester"}
    command = (sys.executable, "-m", "safeconsole", "--config", str(config), "token", *arguments)
    return subprocess.run(command, capture_output=True, text=True, env=environ, check=True).stdout.strip()


@pytest.fixture(scope="module")
def shop():
    with staged("embedded") as up:
        yield up.config


@pytest.fixture(scope="module")
def address(shop):
    with serving(shop, "127.0.0.1:0") as listen:
        yield listen


@asynccontextmanager
async def client(address, text, **settings):
    headers = {"Authorization": f"Bearer {text}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60, **settings) as http,
        streamable_http_client(address, http_client=http) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        await session.initialize()
        yield session


def asked(address, text, *calls, **settings):
    async def play():
        async with client(address, text, **settings) as session:
            return [await session.call_tool(name, arguments) for name, arguments in calls]

    return anyio.run(play)


def posted(address, **headers):
    kept = {"Accept": "application/json, text/event-stream", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return httpx2.post(address, json=HELLO, headers=kept, timeout=30)


def journal(config):
    return [
        json.loads(line)["record"]
        for path in sorted(config.parent.rglob("sessions/*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def test_an_agent_with_a_token_asks_under_its_persons_name(shop, address):
    text = token(shop, "issue", "anna", "--agent")
    read, refused, save = asked(
        address, text, ("query", {"sql": "SELECT 4 AS four"}), ("query", {"sql": UPDATE}),
        ("query", {"sql": "SELECT 1", "save": "csv"}),
    )  # fmt: skip
    assert said(read).get("rows") == [[4]], said(read)
    assert refused.is_error and said(refused)["verdict"] == "elevate"
    assert save.is_error and "another computer" in said(save)["message"]
    opened = [record for record in journal(shop) if record["type"] == "session-opened" and record["face"] == "mcp"]
    assert (opened[-1]["person"], opened[-1]["agent"].startswith("mcp: ")) == ("anna", True)


def test_nobody_gets_in_without_a_token_that_counts(shop, address):
    text = token(shop, "issue", "bob", "--agent")
    (number,) = [row["id"] for row in json.loads(token(shop, "list", "--format", "json")) if row["person"] == "bob"]
    assert posted(address).status_code == 401
    assert posted(address, Authorization="Bearer sct_wrong").status_code == 401
    assert posted(address, Authorization=f"Bearer {text}").status_code == 200
    token(shop, "revoke", number)
    assert posted(address, Authorization=f"Bearer {text}").status_code == 401


def test_a_page_of_a_browsers_gets_nothing(shop, address):
    kept = {"Authorization": f"Bearer {token(shop, 'issue', 'carl', '--agent')}"}
    assert posted(address, **kept, Origin="https://evil.example").status_code == 403
    assert posted(address, **kept, Host="evil.example").status_code == 421


def test_fifty_calls_at_once_are_all_answered(shop, address):
    text = token(shop, "issue", "dora", "--agent")

    async def play():
        async with client(address, text) as session:
            calls = [session.call_tool("query", {"sql": f"SELECT {n} AS n"}) for n in range(50)]
            return await asyncio.gather(*calls)

    results = anyio.run(play)
    assert [said(result)["rows"][0][0] for result in results] == list(range(50))


def test_a_revoked_tokens_session_is_ended(shop, address):
    text = token(shop, "issue", "emil", "--agent")
    asked(address, text, ("query", {"sql": "SELECT 1"}))
    (number,) = [row["id"] for row in json.loads(token(shop, "list", "--format", "json")) if row["person"] == "emil"]
    token(shop, "revoke", number)

    def closed():
        mine = [each for each in journal(shop) if each["type"] == "session-opened" and each["person"] == "emil"]
        assert mine
        return sum(each["type"] == "session-closed" for each in journal(shop)) >= 1

    wait_for(closed, at_most=30)


def test_what_is_no_json_rpc_is_answered_and_breaks_nothing(shop, address):
    headers = {
        "Authorization": f"Bearer {token(shop, 'issue', 'fred', '--agent')}", "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }  # fmt: skip
    for body in (b"", b"{", b"[]", b"null", b'{"jsonrpc":"2.0"}', b"\xff\xfe", b'{"id":1}' * 1000):
        assert 400 <= httpx2.post(address, content=body, headers=headers, timeout=30).status_code < 500
    assert httpx2.post(address, content=b"x" * 2_000_000, headers=headers, timeout=30).status_code == 413
    assert posted(address, Authorization=headers["Authorization"]).status_code == 200


def test_beyond_loopback_it_takes_a_certificate(shop, tmp_path):
    with serving(shop, "0.0.0.0:0") as complaint:
        assert "tokens need TLS" in complaint
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    with serving(shop, "127.0.0.1:0", "--tls-cert", str(certificate), "--tls-key", str(key)) as listen:
        assert listen.startswith("https://")
        text, trusted = token(shop, "issue", "gina", "--agent"), ssl.create_default_context(cafile=str(certificate))
        (answer,) = asked(listen, text, ("query", {"sql": "SELECT 5"}), verify=trusted)
        assert said(answer)["rows"] == [[5]]


@pytest.mark.parametrize("wrong", ["8808", "127.0.0.1:http", "127.0.0.1:99999", ":1"])
def test_an_address_that_is_none_is_said(shop, wrong):
    with serving(shop, wrong) as complaint:
        assert "no HOST:PORT" in complaint
