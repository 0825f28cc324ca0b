"""
The incident's query through a gateway to a primary with many tables: from a rails console, the mariadb client, JDBC.

    python -m benchmarks.gateway_incident [--flavour mysql|mariadb] [--tables 20000]

Starts a throw-away cluster, fills its primary, and starts the primary anew so that nothing is open. For each client and
query: what the client is told, and by how much the server's memory and its opened tables grew. Last the same query
without a gateway, for what it would have done.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.cold_server import ColdServer, ask
from benchmarks.many_tables import grow, writable
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import connect_root, start_cluster
from tests.harness.gateway import serving
from tests.harness.incident import QUERIES, clients_here, told


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--flavour", choices=FLAVOURS, default="mysql")
    parser.add_argument("--tables", type=int, default=20_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, start_cluster(asked.flavour, Path(place) / "nodes") as cluster:
        server = ColdServer(cluster.primary, asked.flavour)
        try:
            # From 1 on: without the large ones, which a question of names and sizes does not need.
            seconds = grow(server, 1, asked.tables, "small")
            server.restart()
            with connect_root(server.node.socket) as dba:
                writable(dba, value=True)
                tables = ask(dba, "SELECT COUNT(*) FROM information_schema.tables")[0][0]
            print(f"{asked.flavour}: {tables:,} tables, made in {seconds:.0f} s", flush=True)
            with serving(cluster, Path(place) / "gateway") as gateway:
                for name, sql in QUERIES[asked.flavour].items():
                    for client in clients_here():
                        said = watched(server, f"{client}: {name}", lambda: told(client, gateway, sql))  # noqa: B023
                        print(f"    {said[0]} rows, error {said[1]}: {said[2].strip()[:200]}", flush=True)
            for name, sql in QUERIES[asked.flavour].items():
                watched(server, f"no gateway: {name}", lambda: direct(server, sql))  # noqa: B023
        finally:
            server.stop()


def direct(server, sql):
    with connect_root(server.node.socket) as dba:
        return len(ask(dba, sql))


def watched(server, what, act):
    """Run it, print what it did to the server, and return what it returned."""
    before, was = server.counters(), server.memory()["VmRSS"]
    server.forget_highest()
    found = act()
    after, now = server.counters(), server.memory()
    opened = {name: after[name] - before[name] for name in after if name.startswith("Opened")}
    grown = ", ".join(f"{name} +{count:,}" for name, count in opened.items())
    print(f"{what}: memory +{(now['VmHWM'] - was) / 1e6:.1f} MB at its highest, {grown}", flush=True)
    return found


if __name__ == "__main__":
    main()
