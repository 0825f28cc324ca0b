"""An agent's elevation becomes a request for a person: refused, approved by somebody else, then run exactly once."""

import fcntl
import json
import os
import pty
import re
import subprocess
import termios
from contextlib import asynccontextmanager

import anyio
from msgspec.structs import replace
from pathlib import Path
from safeconsole.approvals.requests import request_code, request_from_code
from safeconsole.approvals.waiting import paths_of, text_of
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

AGENT = {"CLAUDECODE": "1"}
JUSTIFICATION = ("--reason", "clean up", "--ticket", "OPS-8", "--confirm", "shop")


def set_status(number):
    return f"UPDATE orders SET status = 'agent-{number}' WHERE id = {number}"


def by_agent(people, sql, *words, **environ):
    return people.ann.run("sql", "shop", "-e", sql, *JUSTIFICATION, *words, **(AGENT | environ))


def waiting(told):
    assert told.returncode == 3, told.stderr
    assert "an agent (claude-code) cannot elevate by itself" in told.stderr
    return re.search(r"safeconsole approve (\S+)`", told.stderr)[1]


def status_of(people, number):
    told = people.ann.run(
        "sql", "shop", "-e", f"SELECT status FROM orders WHERE id = {number}", "--format", "tsv", "--to", "primary"
    )
    return told.stdout.split()[-1]


@pytest.fixture
def team(request, teams, receiver):
    kind, directory = getattr(request, "param", ("names", True))
    people = teams(kind)
    people.configure(keys="file", webhook=receiver.url, policy="baseline", directory=directory)
    people.directory = directory
    return people


@pytest.mark.parametrize(
    "team", [("names", True), ("names", False), ("users", True), ("users", False)], indirect=True, ids=str
)
def test_an_agents_change_runs_once_when_somebody_else_approved_it(team, receiver):
    number = 11 if team.directory else 13
    code = waiting(by_agent(team, set_status(number)))
    assert waiting(by_agent(team, set_status(number))) == code
    listed = team.ben.run("approve", "--list", "--format", "json")
    if team.directory:
        (waits,) = [row for row in json.loads(listed.stdout) if row["code"] == code]
        assert (waits["person"], waits["agent"], waits["what"]) == (team.ann.name, "claude-code", set_status(number))
    else:
        assert listed.returncode == 2
        assert "there is no approvals.directory" in listed.stderr
    shown = team.ben.run("approve", code, "--confirm", "shop")
    assert shown.returncode == 0, shown.stderr
    if team.directory:
        assert code not in team.ben.run("approve", "--list").stdout
    for part in ("by a program: claude-code", set_status(number), "clean up", "OPS-8", "until", ", once"):
        assert part in shown.stderr
    answer = () if team.directory else ("--approval", shown.stdout.strip())
    # Neither another statement, nor another value in it, nor another reason.
    for other in (set_status(12), set_status(number).replace("agent-1", "agent-2")):
        refused = by_agent(team, other, *answer)
        assert refused.returncode == 3
    other_reason = team.ann.run(
        "sql", "shop", "-e", set_status(number), "--reason", "x", "--confirm", "shop", *answer, **AGENT
    )
    assert other_reason.returncode == 3
    assert not status_of(team, number).startswith("agent")
    done = by_agent(team, set_status(number), *answer)
    assert done.returncode == 0, done.stderr
    records = team.records()
    (approved,) = [record for record in records if record["type"] == "approval"]
    (intent,) = [record for record in records if record["type"] == "intent"]
    assert (approved["approver"], approved["request"], approved["digest"]) == (
        team.ben.name, intent["elevation"], intent["digest"],
    )  # fmt: skip
    assert approved["reason"].startswith("asked for as ")
    assert [record["state"] for record in records if record["type"] == "elevation"] == ["asked", "granted", "expired"]
    assert status_of(team, number) == f"agent-{number}"
    again = by_agent(team, set_status(number), *answer)
    assert again.returncode == 3
    assert "waits for a person" in receiver.wait(1)
    verified = team.ann.run("audit", "verify")
    assert verified.returncode == 0, verified.stdout


def test_neither_the_agent_nor_its_person_approves_it(team):
    code = waiting(by_agent(team, set_status(21)))
    own = team.ann.run("approve", code, "--confirm", "shop")
    assert own.returncode == 3
    assert f"{team.ann.name} cannot approve what {team.ann.name} asked for" in own.stderr
    robot = team.ben.run("approve", code, "--confirm", "shop", **AGENT)
    assert robot.returncode == 3
    assert by_agent(team, set_status(21)).returncode == 3


def test_an_agents_script_stops_before_its_first_change(team):
    told = by_agent(team, f"{set_status(31)}; {set_status(32)}")
    assert told.returncode == 3
    assert "nothing of the script was run" in told.stderr
    assert "one by one" in told.stderr


def test_what_holds_a_password_is_not_put_down_for_anybody(team):
    told = by_agent(team, "UPDATE customers SET password = 'hidden-7' WHERE id = 1")
    assert told.returncode == 3
    assert "a statement with a secret is not shown to a second person" in told.stderr
    assert "hidden-7" not in told.stderr


def test_the_way_out_tells_an_agent_that_a_person_decides(team):
    told = team.ann.run("sql", "shop", "-e", set_status(41), **AGENT)
    assert told.returncode == 3
    assert "then a person approves it" in told.stderr


def test_a_script_without_a_terminal_is_an_agent_but_in_the_demo(team):
    told = team.ann.run("sql", "shop", "-e", set_status(51), *JUSTIFICATION)
    assert told.returncode == 0, told.stderr
    config = team.ann.config.read_text()
    own = team.ann.home / "own"
    own.mkdir(mode=0o700)
    (own / "demo.key").touch(mode=0o600)
    (own / "demo.key").write_text("a key of one's own")
    (line,) = [line for line in config.splitlines() if line.startswith("demo = ")]
    for other in ("", f'demo = "{own}"', f'demo = "{own}/none"'):
        # It says that it is the demo, and its servers do not know the key.
        team.ann.write(config.replace(line, other))
        told = team.ann.run("sql", "shop", "-e", set_status(53), *JUSTIFICATION)
        assert told.returncode == 3
        assert "an agent (no-terminal) cannot elevate by itself" in told.stderr
    team.ann.write(config.replace('environment = "demo"', 'environment = "production"'))
    told = team.ann.run("sql", "shop", "-e", set_status(52), *JUSTIFICATION)
    assert told.returncode == 3
    assert "an agent (no-terminal) cannot elevate by itself" in told.stderr
    # A person who pipes something in still sits at a terminal.
    console = team.ann.start("sql", "shop", "-e", set_status(52), *JUSTIFICATION).vouched()
    assert console.end()[0] == 0, console.messages


def test_who_sends_every_stream_elsewhere_but_one_is_asked_on_the_terminal_behind(team):
    ours, theirs = pty.openpty()
    words = team.ann.command("sql", "shop", "-e", set_status(61), *JUSTIFICATION)

    def start(*, controlling):
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE, text=True, cwd="/",
            env=team.ann.environ, start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0)) if controlling else None,
        )  # fmt: skip

    nobody = start(controlling=False)
    assert "the elevation was not granted" in nobody.communicate(timeout=60)[1]
    assert nobody.returncode == 3
    seated = start(controlling=True)
    shown = ""
    while "type the name of the cluster" not in shown:
        shown += os.read(ours, 4096).decode()
    assert set_status(61) in shown
    os.write(ours, b"shop\r")
    assert (seated.communicate(timeout=60)[1].count("elevation"), seated.returncode) == (0, 0)
    os.close(ours)
    os.close(theirs)


@asynccontextmanager
async def client(account):
    server = StdioServerParameters(
        command=account.python, args=account.command("mcp", "shop")[1:], env=account.environ, cwd="/"
    )
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield session


def another_persons(directory, code):
    """Put the request of another person beside one, and return its code."""
    asked = request_from_code(text_of(Path(directory) / f"{code}.request"))
    other = replace(asked, id="0123456789abcdef", person="carol")
    (path, _) = paths_of(Path(directory), other.id)
    path.write_text(request_code(other))
    return path.stem


def test_an_agents_client_asks_a_person_approves_and_it_runs_once(team):
    wanted = {"sql": set_status(65), "reason": "clean up", "ticket": "OPS-8"}

    async def play():
        async with client(team.ann) as session:
            asked = (await session.call_tool("request_elevation", wanted)).structured_content
            (code,) = re.findall(r"safeconsole approve ([\w-]+)", json.dumps(asked))[:1]
            waiting = (await session.call_tool("approval_status", {})).structured_content
            stranger = another_persons(team.shared, code)
            theirs = (await session.call_tool("approval_status", {})).structured_content
            shown = team.ben.run("approve", code, "--confirm", "shop")
            done = await session.call_tool("request_elevation", wanted)
            left = (await session.call_tool("approval_status", {})).structured_content
            again = await session.call_tool("request_elevation", wanted)
            other = await session.call_tool("request_elevation", wanted | {"sql": set_status(66)})
            return code, waiting, (stranger, theirs), shown, done, left, again, other

    code, waiting, (stranger, theirs), shown, done, left, again, other = anyio.run(play)
    # What the account asked for in other sessions waits beside it.
    assert [each for each, sql in waiting["waiting"].items() if sql == set_status(65)] == [code]
    assert stranger not in theirs["waiting"]
    assert code not in left["waiting"]
    assert done.structured_content["changed_rows"] == 1
    assert "by a program: mcp: " in shown.stderr
    assert not done.is_error, done
    assert status_of(team, 65) == "agent-65"
    assert again.is_error and other.is_error


def test_a_no_reaches_the_agent_with_its_reason(team):
    wanted = {"sql": set_status(71), "reason": "clean up", "ticket": "OPS-8"}

    async def play():
        async with client(team.ann) as session:
            asked = (await session.call_tool("request_elevation", wanted)).structured_content
            (code,) = re.findall(r"safeconsole approve ([\w-]+)", json.dumps(asked))[:1]
            told = team.ben.run("approve", code, "--refuse", "the row belongs to billing é")
            listed = team.ben.run("approve", "--list").stdout
            late = team.ben.run("approve", code, "--confirm", "shop")
            return code, told, listed, late, await session.call_tool("request_elevation", wanted)

    code, told, listed, late, refused = anyio.run(play)
    assert told.returncode == 0, told.stderr
    assert code not in listed
    assert late.returncode != 0 and "Traceback" not in late.stderr
    assert refused.is_error
    assert "refused it: the row belongs to billing é" in refused.structured_content["message"]
    assert not status_of(team, 71).startswith("agent")
