"""
The console beside its peers, on one throw-away cluster, in one run.

    python -m benchmarks.console [--flavour mysql|mariadb] [--rows 1000000] [--mycli PATH] [--client PATH] [--write]

Prints how long a start, a prompt and a result of many rows take beside a bare PyMySQL script, mycli and the C client,
and what the road adds to one statement. Commands take turns, so that a busy machine is busy for all of them; ratios
are of the least processor time of each. --write puts the figures into docs/benchmarks.md.
"""

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.keystrokes import keystroke_figures
from benchmarks.peers import Commands, Cost, environment, interleaved, peers_of, prompt_cost
from benchmarks.road import road_figures
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import start_cluster

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
OURS, BARE = "safeconsole", "PyMySQL script"


def configured(directory: Path, cluster) -> Path:
    """Write a configuration of a running cluster; its password comes from the environment, as a script's would."""
    nodes = {f"{node.host}:{node.port}": node.name for node in cluster.nodes}
    lines = (
        "[clusters.shop]",
        f"nodes = {json.dumps(list(nodes))}",
        'environment = "benchmark"',
        'schema = "shop"',
        "[clusters.shop.names]",
        *(f"{json.dumps(address)} = {json.dumps(name)}" for address, name in nodes.items()),
        "[clusters.shop.accounts]",
        'read = "console_read"',
        "[clusters.shop.secrets]",
        'sources = ["env"]',
        "[clusters.shop.tls]",
        'mode = "disabled"',
        "[audit]",
        f"directory = {json.dumps(str(directory / 'audit'))}",
    )
    path = directory / "config.toml"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def fill(cluster, rows: int) -> None:
    """Make a table of many rows and five columns, and wait until the replicas have it."""
    deep = "cte_max_recursion_depth" if cluster.flavour == "mysql" else "max_recursive_iterations"
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(f"SET SESSION {deep} = {rows + 1}")
        cursor.execute(
            "CREATE TABLE shop.many (id INT PRIMARY KEY, customer INT NOT NULL, status VARCHAR(12) NOT NULL,"
            " total DECIMAL(10,2), created DATETIME NOT NULL)"
        )
        cursor.execute(
            f"INSERT INTO shop.many WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
            " SELECT i, i * 7919 % 100000, ELT(1 + i % 4, 'new', 'paid', 'shipped', 'returned'),"
            " IF(i % 10, i % 100000 / 100, NULL), '2023-01-01' + INTERVAL i SECOND FROM n"
        )
        if cluster.flavour == "mariadb":
            # The demo's account is held to 2 s. A peer that needs longer is to be measured, not ended.
            cursor.execute("SELECT host FROM mysql.user WHERE user = 'console_read'")
            for (host,) in cursor.fetchall():
                cursor.execute(f"ALTER USER 'console_read'@'{host}' WITH MAX_STATEMENT_TIME 0")
    cluster.wait_caught_up(300)


def written(section: str, text: str, *, page: Path = PAGE) -> None:
    """Put figures between the two marks of a section of a page."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    head, _, rest = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(f"{head}{begin}\n\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def table(title: str, costs: dict[str, Cost], *, beside: str = BARE) -> list[str]:
    """Return one section: a line for each command, and how it compares."""
    base = costs[beside]
    lines = [
        f"### {title}",
        "",
        f"| | processor, s | wall, s (median) | memory, MB | wall beside {beside} |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, cost in costs.items():
        memory = f"{cost.memory_mb:.0f}" if cost.memory_mb else ""
        ratio = f"{cost.wall / base.wall:.2f}"
        lines.append(f"| {name} | {cost.cpu:.3f} | {cost.wall:.2f} | {memory} | {ratio} |")
    return [*lines, ""]


def prompt_table(costs: dict[str, Cost]) -> list[str]:
    """Return the section on prompts: when one can type, and when everything of it is drawn."""
    base = costs.get("mycli") or costs[OURS]
    lines = [
        "### From the start to the prompt",
        "",
        "| | seen and typed at, s | drawn whole, s | processor until left, s | seen, beside mycli |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, cost in costs.items():
        lines.append(
            f"| {name} | {cost.visible:.2f} | {cost.wall:.2f} | {cost.cpu:.3f} | {cost.visible / base.visible:.2f} |"
        )
    return [*lines, ""]


def aims_table(aims: list[tuple[str, float, float]]) -> list[str]:
    """Return the section that says which aims are met: what, its ratio, the most that it may be."""
    lines = ["### Aims", "", "| | aim, at most | measured | |", "|---|---:|---:|---|"]
    for what, most, found in aims:
        lines.append(f"| {what} | {most:.2f} | {found:.2f} | {'met' if found <= most else '**missed**'} |")
    return [*lines, ""]


def aims_of(
    starts: dict[str, Cost], prompts: dict[str, Cost], exports: dict[str, Cost]
) -> list[tuple[str, float, float]]:
    """Return the aims that can be judged with the peers that are here, all of them in wall time."""
    found = [
        ("a start beside the bare script", 1.3, starts[OURS].wall / starts[BARE].wall),
        ("a million rows beside the bare script", 1 / 1.5, exports[OURS].wall / exports[BARE].wall),
        ("a million rows, memory beside 80 MB", 1.0, exports[OURS].memory_mb / 80),
    ]
    if "mycli" in starts:
        found += [
            ("a start beside mycli", 0.35, starts[OURS].wall / starts["mycli"].wall),
            ("a prompt that can be typed at, beside mycli", 1 / 3, prompts[OURS].visible / prompts["mycli"].visible),
            ("a prompt drawn whole, beside mycli", 1 / 3, prompts[OURS].wall / prompts["mycli"].wall),
            ("a million rows beside mycli", 1 / 3, exports[OURS].wall / exports["mycli"].wall),
        ]
    return found


def said_version(program: str | None) -> str:
    """Return what a peer says of its version, "" where there is no such peer."""
    if program is None:
        return ""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return f"; {said.strip().splitlines()[0].removeprefix(program).strip()}"


def machine(given: argparse.Namespace) -> list[str]:
    """Return what the figures were measured on."""
    names = ("pymysql", "prompt-toolkit", "msgspec", "click")
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    busy = os.getloadavg()[0]
    words = (
        f"Measured on {dt.datetime.now(dt.UTC).date()}, {os.cpu_count()} cpus of {model}, Linux {platform.release()},"
        f" Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in names)}"
        f"{said_version(given.mycli)}{said_version(given.client)}; servers: {given.flavour};"
        f" load average {busy:.1f} at the end."
    )
    return [words, ""]


def measured(cluster, commands: Commands, rows: int) -> list[str]:
    """Run everything; returns the sections of the page."""
    starts = interleaved(commands.one_shots(), commands.environ, times=15)
    prompts = {name: prompt_cost(command, commands.environ, times=5) for name, command in commands.prompts().items()}
    exports = interleaved(commands.exports(), commands.environ, times=1)
    formats = interleaved(commands.formats(), commands.environ, times=1)
    return [
        *aims_table(aims_of(starts, prompts, exports)),
        *table("One statement: `-e 'SELECT 1'`", starts),
        *prompt_table(prompts),
        *table(f"{rows:,} rows of 5 columns to CSV", exports),
        *table(f"{rows:,} rows in other formats", formats, beside=next(iter(formats))),
        *keystroke_figures(),
        *road_figures(cluster, commands),
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The console beside its peers, on one throw-away cluster.")
    parser.add_argument("--flavour", choices=FLAVOURS, default="mysql")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--mycli", default=shutil.which("mycli"), help="path of mycli")
    parser.add_argument(
        "--client", default=shutil.which("mariadb") or shutil.which("mysql"), help="path of the C client"
    )
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="console-benchmark-") as made:
        directory = Path(made)
        with start_cluster(given.flavour, directory / "nodes") as cluster:
            fill(cluster, given.rows)
            python = environment(directory / "bare", f"pymysql=={version('pymysql')}", "cryptography") / "python"
            commands = peers_of(
                cluster,
                directory,
                configured(directory, cluster),
                mycli=given.mycli,
                client=given.client,
                python=str(python),
            )
            lines = [*machine(given), *measured(cluster, commands, given.rows)]
    text = "\n".join(lines)
    print(text)
    if given.write:
        written("figures", text)


if __name__ == "__main__":
    main()
