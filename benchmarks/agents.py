"""
What an agent pays: characters of a tool list and of typical answers, and the time of a call, beside another server.

    python -m benchmarks.agents [--flavour mysql|mariadb] [--dbhub PATH] [--times 30] [--write]

--dbhub names the `dist/index.js` of @bytebase/dbhub, installed beside its package mysql2. Both are asked by the SDK's
own client over standard input, in turns, on one throw-away cluster. --write puts the figures into docs/benchmarks.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from benchmarks.console import machine, written
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import start_cluster
from tests.harness.desk import demo_configuration

SECTION = "agents"
ROWS = "SELECT id, customer_id, status, total FROM orders WHERE id <= 10"
ONE = "SELECT id FROM orders WHERE id = 7"
CHANGE = "UPDATE orders SET status = 'x' WHERE id = 1"

OURS = {
    "list tables": ("tables", {}),
    "describe a table": ("describe", {"table": "orders"}),
    "ten rows": ("query", {"sql": ROWS}),
    "a refused change": ("query", {"sql": CHANGE}),
}
DBHUB = {
    "list tables": ("search_objects", {"object_type": "table", "schema": "shop", "detail_level": "names"}),
    "describe a table": (
        "search_objects",
        {"object_type": "column", "schema": "shop", "table": "orders", "detail_level": "full"},
    ),
    "ten rows": ("execute_sql", {"sql": ROWS}),
    "a refused change": ("execute_sql", {"sql": CHANGE}),
}
TIMED = {"safeconsole": ("query", {"sql": ONE}), "dbhub": ("execute_sql", {"sql": ONE})}


@asynccontextmanager
async def connected(command: list[str], environ: dict[str, str], stderr):
    """Connect the SDK's client to a server on standard input."""
    server = StdioServerParameters(command=command[0], args=command[1:], env=environ)
    async with stdio_client(server, errlog=stderr) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield session


def characters(result) -> int:
    """Return what a model is given: the texts of an answer."""
    return sum(len(part.text) for part in result.content if part.type == "text")


def tool_list(tools) -> int:
    """Return the characters of the tool list as it goes over the wire."""
    return len(json.dumps([tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools.tools]))


async def measured(commands: dict[str, list[str]], environ: dict[str, str], times: int, nothing):
    """Return characters by what was asked and server, and milliseconds of a call by server."""
    sizes: dict[str, dict[str, int]] = {}
    took: dict[str, list[float]] = {name: [] for name in commands}
    async with AsyncExitStack() as stack:
        sessions = {
            name: await stack.enter_async_context(connected(command, environ, nothing))
            for name, command in commands.items()
        }
        for name, session in sessions.items():
            sizes.setdefault("tools/list", {})[name] = tool_list(await session.list_tools())
            for what, (tool, arguments) in (OURS if name == "safeconsole" else DBHUB).items():
                answer = await session.call_tool(tool, arguments)
                if answer.is_error is not (what == "a refused change"):
                    raise SystemExit(f"{name}: {what}: {answer.content[0].text[:300]}")
                sizes.setdefault(what, {})[name] = characters(answer)
        for turn in range(times + 1):
            for name, session in sessions.items():
                began = time.perf_counter()
                await session.call_tool(*TIMED[name])
                if turn:
                    took[name].append((time.perf_counter() - began) * 1000)
    return sizes, {name: statistics.median(each) for name, each in took.items()}


def one_shot(config: Path, environ: dict[str, str], times: int) -> float:
    """Return the milliseconds of the same question as a one-shot."""
    command = [sys.executable, "-m", "safeconsole", "--config", str(config), "sql", "shop", "-e", ONE]
    took = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, env=environ, check=True, capture_output=True)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def report(sizes, took, shot: float) -> str:
    """Return the figures, what is worse than the peer first."""
    peer = "dbhub" in took
    lines = ["| characters | safeconsole | dbhub | beside it |", "|---|---:|---:|---:|"]
    worst = sorted(sizes.items(), key=lambda each: -each[1]["safeconsole"] / each[1].get("dbhub", 1))
    for what, found in worst:
        ours, theirs = found["safeconsole"], found.get("dbhub")
        lines.append(f"| {what} | {ours:,} | {f'{theirs:,} | {ours / theirs:.2f}' if theirs else '- | -'} |")
    lines += ["", "| one row by key | ms, median | beside a call of ours |", "|---|---:|---:|"]
    timed = {"a call of safeconsole": took["safeconsole"], "a one-shot of safeconsole": shot}
    timed |= {"a call of dbhub": took["dbhub"]} if peer else {}
    lines += [f"| {what} | {ms:.1f} | {ms / took['safeconsole']:.2f} |" for what, ms in timed.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--flavour", choices=FLAVOURS, default="mysql")
    parser.add_argument("--dbhub", type=Path, help="dist/index.js of @bytebase/dbhub")
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    given = parser.parse_args()
    given.mycli = given.client = None
    with tempfile.TemporaryDirectory() as place:
        cluster = start_cluster(given.flavour, Path(place) / "cluster", replicas=1)
        try:
            desk = Path(place) / "desk"
            desk.mkdir(mode=0o700)
            config = demo_configuration(cluster, desk)
            environ = {"PATH": os.environ["PATH"], "HOME": str(desk), "USER": "agent"}
            commands = {"safeconsole": [sys.executable, "-m", "safeconsole", "--config", str(config), "mcp", "shop"]}
            if given.dbhub:
                node, account = cluster.replicas[0], "console_read"
                dsn = f"mysql://{account}:{cluster.accounts[account]}@{node.host}:{node.port}/shop"
                settings = desk / "dbhub.toml"
                settings.write_text(
                    f'[[sources]]\nid = "shop"\ndsn = {json.dumps(dsn)}\n'
                    '[[tools]]\nname = "execute_sql"\nsource = "shop"\nreadonly = true\n'
                    '[[tools]]\nname = "search_objects"\nsource = "shop"\n'
                )
                commands["dbhub"] = ["node", str(given.dbhub), "--transport", "stdio", "--config", str(settings)]
            with Path(os.devnull).open("w") as nothing:
                sizes, took = anyio.run(measured, commands, environ, given.times, nothing)
            text = report(sizes, took, one_shot(config, environ, max(3, given.times // 6)))
        finally:
            cluster.stop()
    beside = ""
    if given.dbhub:
        beside = f" dbhub {json.loads((given.dbhub.parents[1] / 'package.json').read_text())['version']}."
    text = "\n".join([machine(given)[0] + beside, "", text, ""])
    print(text)
    if given.write:
        written(SECTION, text)


if __name__ == "__main__":
    main()
