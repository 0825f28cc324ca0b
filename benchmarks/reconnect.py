"""
An application's pool through a real failover: requests failed, and seconds until connections are spread evenly.

    python -m benchmarks.reconnect [--flavour mysql|mariadb] [--workers 8] [--seconds 20] [--checkouts 20000]

Throw-away clusters of a primary and two replicas. Eight threads write through one pool, eight read through another,
one short request after the other, none repeated. After three seconds a failover:

    promote   the primary is made read-only, a replica is promoted, the other one follows it; the former primary
              stays up and refuses writes, as a server does that was told to step down, and is made a replica
    kill      the primary is killed as a crash would, and a replica is promoted a second later

With `reconnect`, and without: there the writer's pool has the address of the primary and the reader's chooses a
replica by chance for each new connection, both with SQLAlchemy's own ping before each use (pool_pre_ping); three
seconds after the failover the configuration names the new nodes, as DNS or a service registry would.

All times are seconds since the failover began; "up" is when it was over, the new primary taking writes and the others
following it. "failed" counts requests that ended with an error, "last" is when the last of them did; "even" is when
the reader's open connections began to lead to the replicas that then were, differing by at most one between them; it is
looked at from "up" on. "unacknowledged" are writes that are stored and ended with an error; below zero, writes
that were acknowledged and died with the primary, as replication is asynchronous.
Last, the cost of the look at checkout when nothing changed.
"""

import argparse
import logging
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from sqlalchemy import URL, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from safeconsole import reconnect
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import start_cluster
from tests.harness.clusters import kill, promote

BEFORE_SECONDS = 3.0
NAMES_MOVE_SECONDS = 3.0
CREATE = "CREATE TABLE shop.requests (id BIGINT PRIMARY KEY AUTO_INCREMENT, worker INT)"


def address(node):
    return f"{node.host}:{node.port}"


class Names:
    """What the application's configuration says of the cluster; changes some time after the failover."""

    def __init__(self, cluster):
        self.learn(cluster)

    def learn(self, cluster):
        """Take in where the roles are now."""
        self.primary, self.replicas = cluster.primary, cluster.replicas


class Pool:
    """One pool of the application, with or without reconnect; counts where its connections lead."""

    def __init__(self, cluster, role, names, *, workers, watched):
        self.role, self.watched = role, watched
        account = "console_elevated" if role == "primary" else "console_read"
        first = names.primary if role == "primary" else names.replicas[0]
        url = URL.create("mysql+pymysql", account, cluster.accounts[account], first.host, first.port, "shop")
        self.engine = create_engine(url, pool_size=workers, max_overflow=0, pool_pre_ping=not watched)
        self.ports = Counter()
        if watched:
            nodes = [address(node) for node in cluster.nodes]
            self.installed = reconnect.install(self.engine, role=role, nodes=nodes)
        else:
            event.listen(self.engine, "do_connect", lambda *given: self._aim(names, given[-1]))
            event.listen(self.engine, "connect", self._opened)
            event.listen(self.engine, "close", self._closed)

    def spread(self):
        """Open connections by port."""
        if self.watched:
            return {int(name.rpartition(":")[2]): number for name, number in self.installed.counters().spread.items()}
        return dict(self.ports)

    def _aim(self, names, parameters):
        parameters["port"] = names.primary.port if self.role == "primary" else random.choice(names.replicas).port

    def _opened(self, connection, record):
        record.info["port"] = connection.port
        self.ports[connection.port] += 1

    def _closed(self, _connection, record):
        self.ports[record.info.pop("port")] -= 1


class Load:
    """Threads that make one request after the other through a pool."""

    def __init__(self, pool, workers):
        self.pool, self.stop = pool, threading.Event()
        self.done, self.failures, self.lock = 0, [], threading.Lock()
        self.threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(workers)]
        for thread in self.threads:
            thread.start()

    def _work(self, number):
        if self.pool.role == "primary":
            request = text(f"INSERT INTO requests (worker) VALUES ({number})")
        else:
            request = text("SELECT COUNT(*) FROM customers WHERE id < 10")
        while not self.stop.is_set():
            try:
                with self.pool.engine.begin() as connection:
                    connection.execute(request)
            except SQLAlchemyError:
                with self.lock:
                    self.failures.append(time.monotonic())
            else:
                with self.lock:
                    self.done += 1
            time.sleep(0.01)


def is_even(pool, ports):
    """Whether the open connections of a pool are spread evenly over the ports, and lead nowhere else."""
    spread = {port: number for port, number in pool.spread().items() if number}
    return set(spread) == ports and max(spread.values()) - min(spread.values()) <= 1


def fail_over(cluster, how):
    former, new = cluster.primary, cluster.replicas[0]
    if how == "kill":
        kill(former)
        time.sleep(1.0)
    promote(cluster, new)
    if how == "promote":
        cluster.follow(former, port=new.port)
    return {node.port for node in cluster.nodes if node.port != new.port and (how == "promote" or node != former)} - (
        {former.port} if how == "kill" else set()
    )


def measure(flavour, how, *, watched, workers, seconds):
    with tempfile.TemporaryDirectory() as directory, start_cluster(flavour, Path(directory) / "c") as cluster:
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute(CREATE)
        cluster.wait_caught_up()
        names = Names(cluster)
        writing, reading = (
            Pool(cluster, role, names, workers=workers, watched=watched) for role in ("primary", "replica")
        )
        loads = [Load(writing, workers), Load(reading, workers)]
        _wait_until(lambda: all(sum(pool.spread().values()) == workers for pool in (writing, reading)))
        time.sleep(BEFORE_SECONDS)
        started, even = time.monotonic(), None
        readers = fail_over(cluster, how)
        up = time.monotonic() - started
        replicas = [node for node in cluster.nodes if node.port in readers]
        while (now := time.monotonic()) < started + up + seconds:
            if now > started + up + NAMES_MOVE_SECONDS:
                names.primary, names.replicas = cluster.primary, replicas
            if not is_even(reading, readers):
                even = None
            elif even is None:
                even = now - started
            time.sleep(0.05)
        for load in loads:
            load.stop.set()
        for load in loads:
            for thread in load.threads:
                thread.join(15)
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM shop.requests")
            stored = cursor.fetchone()[0]
        for pool in (writing, reading):
            pool.engine.dispose()
    return [_row(load, started) for load in loads], up, even, stored - loads[0].done


def _wait_until(condition):
    until = time.monotonic() + 60
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)


def _row(load, started):
    last = f"{max(load.failures) - started:.1f}" if load.failures else "-"
    return load.done, len(load.failures), last


def cost(flavour, checkouts):
    """Median microseconds of a checkout and checkin, without and with the look."""
    found = []
    with (
        tempfile.TemporaryDirectory() as directory,
        start_cluster(flavour, Path(directory) / "c", replicas=0) as cluster,
    ):
        for watched in (False, True):
            node = cluster.primary
            url = URL.create(
                "mysql+pymysql", "console_read", cluster.accounts["console_read"], node.host, node.port, "shop"
            )
            engine = create_engine(url)
            if watched:
                reconnect.install(engine, nodes=[address(node)])
            seconds = []
            for _ in range(checkouts):
                begun = time.perf_counter()
                connection = engine.pool.connect()
                seconds.append(time.perf_counter() - begun)
                connection.close()
            found.append(statistics.median(seconds) * 1e6)
            engine.dispose()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flavour", choices=FLAVOURS, action="append")
    parser.add_argument("--how", choices=("promote", "kill"), action="append")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--checkouts", type=int, default=20_000)
    options = parser.parse_args()
    # A rollback on a connection that was lost is told of again by the pool; the request has counted already.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    print(
        "| flavour | failover | pool | up | writes done | failed | last | reads failed | last | even | unacknowledged |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for flavour in options.flavour or FLAVOURS:
        for how in options.how or ("promote", "kill"):
            for watched in (False, True):
                (writes, reads), up, even, doubt = measure(
                    flavour, how, watched=watched, workers=options.workers, seconds=options.seconds
                )
                evenly = "never" if even is None else f"{even:.1f}"
                pool = "reconnect" if watched else "pre-ping"
                cells = (flavour, how, pool, f"{up:.1f}", *writes, *reads[1:], evenly, doubt)
                print(f"| {' | '.join(map(str, cells))} |", flush=True)
    for flavour in (options.flavour or FLAVOURS)[:1]:
        plain, looked = cost(flavour, options.checkouts)
        print(f"\ncheckout, median: {plain:.1f} us without, {looked:.1f} us with the look ({options.checkouts} times)")


if __name__ == "__main__":
    main()
