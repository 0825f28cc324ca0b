"""An application beside the console: one thread writes, one reads, each through a pool that `reconnect` looks after."""

import logging
import threading
import time

from sqlalchemy import URL, create_engine, text

from safeconsole import reconnect

CREATE = "CREATE TABLE shop.requests (id BIGINT PRIMARY KEY AUTO_INCREMENT, number INT)"
PAUSE_SECONDS = 0.02


class Application:
    """
    Requests one after the other, each with a number of its own, none repeated.

    Args:
        nodes: "host:port" of every node.
    """

    def __init__(self, cluster, nodes):
        logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
        self._cluster, self._nodes = cluster, nodes
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute(CREATE)
        cluster.wait_caught_up()
        self._over = threading.Event()
        self._done = {"primary": [], "replica": []}
        self._failed = {"primary": 0, "replica": 0}
        self._engines = [self._engine(role) for role in self._done]
        acts = (self._write, self._read)
        self._threads = [
            threading.Thread(target=self._requests, args=(role, act, engine), daemon=True)
            for role, act, (engine, _) in zip(self._done, acts, self._engines, strict=True)
        ]
        for thread in self._threads:
            thread.start()
        # What happens from now on interrupts something.
        self.works_again()

    def _engine(self, role):
        host, _, port = self._nodes[0].rpartition(":")
        password = self._cluster.accounts["console_elevated"]
        url = URL.create("mysql+pymysql", "console_elevated", password, host, int(port), "shop")
        # What was cut off says nothing: a proxy that went deaf still takes bytes, so that no kernel notices.
        timeouts = {"read_timeout": 3, "write_timeout": 3}
        engine = create_engine(url, pool_size=4, max_overflow=0, connect_args=timeouts)
        # Its own word for "nobody answers": a request gives up before a person would.
        options = reconnect.Options(patience_seconds=3.0, connect_seconds=1.0, prove_seconds=0.3)
        return engine, reconnect.install(engine, role=role, nodes=self._nodes, options=options)

    def _requests(self, role, act, engine):
        number = 0
        while not self._over.is_set():
            number += 1
            try:
                act(engine, number)
            except Exception:
                self._failed[role] += 1
            else:
                self._done[role].append(time.monotonic())
            self._over.wait(PAUSE_SECONDS)

    def _write(self, engine, number):
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO requests (number) VALUES (:number)"), {"number": number})

    def _read(self, engine, number):
        with engine.connect() as connection:
            connection.execute(text("SELECT COUNT(*) FROM orders WHERE id = :number"), {"number": number})

    def works_again(self, *, at_most=30.0):
        """Wait until both got an answer that was asked for from now on."""
        now, until = time.monotonic(), time.monotonic() + at_most
        while not all(done and done[-1] > now for done in self._done.values()):
            assert time.monotonic() < until, f"the application has had no answer for {at_most} s: {self._failed}"
            time.sleep(0.05)

    def stop(self):
        """End it; twice does nothing more."""
        if self._over.is_set():
            return
        self._over.set()
        for thread in self._threads:
            thread.join(15)
        for engine, installed in self._engines:
            installed.uninstall()
            engine.dispose()

    def report(self):
        """What it had of it: requests that failed, the longest time without an answer, and rows that came twice."""
        self.stop()
        gaps = [
            max((later - earlier for earlier, later in zip(done, done[1:], strict=False)), default=0.0)
            for done in self._done.values()
        ]
        with self._cluster.dba_connect(self._cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) - COUNT(DISTINCT number) FROM shop.requests")
            (twice,) = cursor.fetchone()
        return self._failed["primary"], self._failed["replica"], gaps[0], gaps[1], twice
