"""
What sampling a long statement costs the server, in its own processor time.

    python -m benchmarks.sampling --seconds 30 --rounds 3

Each round lets the server sleep three times: nobody connected to it, in a statement that nobody watches, and in one
that the watchdog samples every 200 ms with all its sensors. The processor time is the server process's own, from
/proc/PID/stat, so that what else runs on the machine is not counted. The aim is under 1 % of one core.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import start_cluster
from safeconsole.sqltext.vocabulary import Account, NodeName
from tests.harness.talking import engine_of, permit_for, run, statement

AIM_PERCENT = 1.0
TICKS = os.sysconf("SC_CLK_TCK")
GRANTS = {
    "mysql": ("GRANT SELECT ON performance_schema.memory_summary_global_by_event_name TO console_read@'%'",),
    "mariadb": (),
}


def processor_seconds(pid):
    """Processor time that a process has used, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def percent_of_core(pid, act):
    """Processor time of a process while something is done, in percent of one core."""
    before, started = processor_seconds(pid), time.monotonic()
    act()
    return 100 * (processor_seconds(pid) - before) / (time.monotonic() - started)


def watched(engine, node, seconds):
    """Let a node sleep in a statement of the console's; return its samples."""
    connection = engine.connect(NodeName(node.name), Account.READ, schema="shop")
    samples = []
    permit = permit_for(connection, statement(f"SELECT SLEEP({seconds})"), run_seconds=seconds + 30)
    run(connection, permit, watch=samples.append)
    connection.close()
    return samples


def unwatched(cluster, node, seconds):
    """Let a node sleep in a statement that nobody watches."""
    with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
        cursor.execute(f"SELECT SLEEP({seconds})")


def print_cost(flavour, seconds, rounds):
    """Measure one flavour."""
    with tempfile.TemporaryDirectory() as place, start_cluster(flavour, Path(place) / "c", replicas=1) as cluster:
        for grant in GRANTS[flavour]:
            with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
                cursor.execute(grant)
        cluster.wait_caught_up()
        node, engine = cluster.replicas[0], engine_of(cluster)
        found, samples = {"idle": [], "unwatched": [], "watched": []}, []
        acts = {
            "idle": lambda: time.sleep(seconds),
            "unwatched": lambda: unwatched(cluster, node, seconds),
            "watched": lambda: samples.append(watched(engine, node, seconds)),
        }
        watched(engine, node, 1)
        for _ in range(rounds):
            for name, act in acts.items():
                found[name].append(percent_of_core(node.pid, act))
        engine.close()
    cost = [with_ - without for with_, without in zip(found["watched"], found["unwatched"], strict=True)]
    count = min(len(each) for each in samples)
    (read,) = {
        tuple(name for name in each[-1].__struct_fields__ if getattr(each[-1], name) is not None) for each in samples
    }
    print(f"\n{flavour}: percent of one core, {seconds} s each, at least {count} samples a round")
    print(f"read: {', '.join(read)}\n")
    print("| | " + " | ".join(f"round {number}" for number in range(1, rounds + 1)) + " |")
    print("|---|" + "---|" * rounds)
    for name, values in {**found, "cost of sampling": cost}.items():
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |")
    verdict = "met" if max(cost) < AIM_PERCENT else "missed"
    print(
        f"\nworst {max(cost):.2f} %, aim under {AIM_PERCENT:g} %: {verdict}; load {os.getloadavg()[0]:.1f}", flush=True
    )


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flavour", choices=FLAVOURS, action="append")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for flavour in arguments.flavour or FLAVOURS:
        print_cost(flavour, arguments.seconds, arguments.rounds)


if __name__ == "__main__":
    main()
