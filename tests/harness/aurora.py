"""Aurora MySQL 3 as its manual and its drivers describe it, made of a real cluster of MySQL: no Aurora was ever met."""

import random
import socket
from contextlib import ExitStack, contextmanager
from functools import partial

from msgspec.structs import replace

from safeconsole.demo.servers import RunningCluster, start_cluster, tell
from tests.harness.clusters import promote
from tests.harness.imitating import Imitation
from tests.harness.proxy import Proxy

DOMAIN = "abc.eu-west-1.rds.amazonaws.com"
WRITER_ENDPOINT, READER_ENDPOINT, CUSTOM_ENDPOINT = (
    f"shop.{kind}-{DOMAIN}" for kind in ("cluster", "cluster-ro", "cluster-custom")
)
AURORA, COMMUNITY = "3.08.0", "8.0.39"
_KILLS = (
    "CREATE PROCEDURE mysql.rds_kill(IN thread BIGINT) KILL thread",
    "CREATE PROCEDURE mysql.rds_kill_query(IN thread BIGINT) KILL QUERY thread",
)


class Network:
    """Names on loopback addresses of their own, which all listen on one port, as the hosts of a cluster do."""

    def __init__(self):
        self.port = 0
        self._start = f"127.{random.randrange(1, 250)}.{random.randrange(1, 250)}"
        self._addresses = {}

    def listen(self, name, proxy):
        """Have a proxy, a function from where it listens, stand at a name."""
        self._addresses[name] = f"{self._start}.{len(self._addresses) + 1}"
        standing = proxy(at=(self._addresses[name], self.port))
        self.port = standing.port
        return standing

    def address(self, name):
        return f"{name}:{self.port}"

    @contextmanager
    def known(self):
        """Have this process resolve its names."""
        resolve = socket.getaddrinfo

        def look_up(host, *args, **how):
            name = host.decode() if isinstance(host, bytes) else host
            return resolve(self._addresses.get(name, host), *args, **how)

        socket.getaddrinfo = look_up
        try:
            yield self
        finally:
            socket.getaddrinfo = resolve


class AuroraCluster:
    """
    Instances shop-1, shop-2, … before the nodes of a real cluster, and the endpoints before them.

    Attributes:
        rows: of information_schema.replica_host_status: (instance, whether it writes, lag in ms, age in s).
        region: rows of aurora_global_db_instance_status and the region's lag in ms; None without a global database.
        variables: of the server, by name, over what it says by itself.
        writer: the instance that writes, "" in a secondary region.
        greeting: the version that instances greet with.
        clock: what an instance takes for now, as SQL.
    """

    def __init__(self, cluster):
        self.cluster = cluster
        self.nodes = {f"shop-{number}": node.name for number, node in enumerate(cluster.nodes, start=1)}
        self.writer = "shop-1"
        self._stack = ExitStack()
        self.network = Network()
        self.instances = {name: self._instance(name) for name in self.nodes}
        self.endpoints = {name: self._endpoint(name) for name in (WRITER_ENDPOINT, READER_ENDPOINT, CUSTOM_ENDPOINT)}
        self.at_rest()
        with cluster.dba_connect(cluster.primary) as dba:
            accounts = "console_elevated@'%'"
            tell(dba, *_KILLS, f"REVOKE CONNECTION_ADMIN ON *.* FROM {accounts}")
            tell(
                dba,
                *(f"GRANT EXECUTE ON PROCEDURE mysql.{name} TO {accounts}" for name in ("rds_kill", "rds_kill_query")),
            )
        cluster.wait_caught_up()

    @property
    def running(self):
        """The cluster as others take a running one: of servers at its instances' names."""
        names = {node: f"{name}.{DOMAIN}" for name, node in self.nodes.items()}
        nodes = tuple(replace(each, host=names[each.name], port=self.network.port) for each in self.cluster.nodes)
        return RunningCluster(flavour=self.cluster.flavour, nodes=nodes, accounts=self.cluster.accounts)

    def at_rest(self):
        """Have nothing be amiss; who writes stays."""
        self.writer = next(name for name, node in self.nodes.items() if node == self.cluster.primary.name)
        self.greeting, self.clock, self.region = f"8.0.mysql_aurora.{AURORA}", "NOW(6)", None
        self.variables = {"aurora_oom_response": "print,kill_query", "aurora_replica_read_consistency": ""}
        self.report()
        self._lead_endpoints()

    def close(self):
        self._stack.close()

    @property
    def readers(self):
        return [name for name in self.nodes if name != self.writer]

    def address(self, name):
        """The address of an instance, or of an endpoint, as a team writes it."""
        return self.network.address(name if name in self.endpoints else f"{name}.{DOMAIN}")

    def report(self, *, ages=()):
        """Have each instance report itself, a moment ago or at an age in seconds."""
        ages = dict(ages)
        self.rows = [
            (name, name == self.writer, 17.5 * (name != self.writer), ages.get(name, 0.4)) for name in self.nodes
        ]

    def be_secondary(self, *, lag_ms):
        """Be the cluster of another region than the writer's in a global database, whose writes are forwarded."""
        self.writer = ""
        self.report()
        instances = [("far-1", True, "us-east-1", 0), *((name, False, "eu-west-1", 30) for name in self.nodes)]
        self.region = instances, {"us-east-1": 0, "eu-west-1": lag_ms}
        self.variables["aurora_replica_read_consistency"] = "session"

    def fail_over(self, to):
        """Have another instance write: both lose their connections, and the former one comes back as a reader."""
        former = self.writer
        for name in (former, to):
            self.instances[name].refuse()
            self.instances[name].cut()
        by_name = {node.name: node for node in self.cluster.nodes}
        promote(self.cluster, by_name[self.nodes[to]])
        self.cluster.follow(by_name[self.nodes[former]], port=by_name[self.nodes[to]].port)
        roles = {self.nodes[former]: "replica"}
        self.cluster.nodes = tuple(replace(each, role=roles.get(each.name, each.role)) for each in self.cluster.nodes)
        self.writer = to
        self.report()
        self._lead_endpoints()
        for name in (former, to):
            self.instances[name].accept_again()

    def lead(self, endpoint, to):
        """Have an endpoint lead to an instance."""
        self.endpoints[endpoint].lead_to(self.instances[to].host, self.instances[to].port)

    def _lead_endpoints(self):
        self.lead(WRITER_ENDPOINT, self.writer or self.readers[0])
        self.lead(CUSTOM_ENDPOINT, self.writer or self.readers[0])
        self.lead(READER_ENDPOINT, random.choice(self.readers))

    def _instance(self, name):
        node = next(each for each in self.cluster.nodes if each.name == self.nodes[name])
        how = {"greeting": lambda: self.greeting, "swaps": lambda: self._swaps(name)}
        stands = self.network.listen(f"{name}.{DOMAIN}", partial(Imitation, node.host, node.port, **how))
        return self._stack.enter_context(stands)

    def _endpoint(self, name):
        instance = self.instances["shop-1"]
        return self._stack.enter_context(self.network.listen(name, partial(Proxy, instance.host, instance.port)))

    def _swaps(self, name):
        told = {
            "aurora_version": f"'{AURORA}'",
            "aurora_server_id": f"'{name}'",
            "innodb_read_only": str(int(name != self.writer)),
            "read_only": "0",
            "gtid_executed": "''",
            "version": f"'{COMMUNITY}'",
            **{variable: f"'{value}'" for variable, value in self.variables.items()},
        }
        yield from ((rf"@@(GLOBAL\.|SESSION\.)?{variable}\b", value) for variable, value in told.items())
        yield r"\baurora_version\(\)", f"'{AURORA}'"
        yield r"^SHOW (REPLICA|SLAVE) STATUS$", "SELECT 1 LIMIT 0"
        # Replicas of a real cluster copy from one another; these share their storage.
        yield r"LIKE 'Binlog Dump%'", "= 'none'"
        columns = ("SERVER_ID", "SESSION_ID", "REPLICA_LAG_IN_MILLISECONDS", "LAST_UPDATE_TIMESTAMP")
        rows = [
            (f"'{each}'", _session(each, writes), lag, f"{self.clock} - INTERVAL {age} SECOND")
            for each, writes, lag, age in self.rows
        ]
        yield r"information_schema\.replica_host_status", _table("replica_host_status", columns, rows)
        if self.region is not None:
            instances, lags = self.region
            columns = ("SERVER_ID", "SESSION_ID", "AWS_REGION", "VISIBILITY_LAG_IN_MSEC")
            rows = [(f"'{each}'", _session(each, writes), f"'{place}'", lag) for each, writes, place, lag in instances]
            name = "aurora_global_db_instance_status"
            yield rf"information_schema\.{name}", _table(name, columns, rows)
            name, columns = "aurora_global_db_status", ("AWS_REGION", "DURABILITY_LAG_IN_MILLISECONDS")
            yield (
                rf"information_schema\.{name}",
                _table(name, columns, [(f"'{place}'", lag) for place, lag in lags.items()]),
            )


def _session(name, writes):
    return "'MASTER_SESSION_ID'" if writes else f"'session-of-{name}'"


def _table(name, columns, rows):
    """A table made up in a statement, which nobody needs a privilege for, as those of information_schema."""
    listed = " UNION ALL ".join(
        "SELECT " + ", ".join(f"{value} AS {column}" for value, column in zip(row, columns, strict=True))
        for row in rows
    )
    nothing = "SELECT " + ", ".join(f"NULL AS {column}" for column in columns) + " LIMIT 0"
    return f"({listed or nothing}) AS {name}"


@contextmanager
def aurora_cluster(directory, *, replicas=2):
    """Start a cluster that looks like Aurora, whose names this process resolves."""
    # What Aurora is made of writes plans in one shape only.
    how = {"replicas": replicas, "options": ("--explain-json-format-version=1",)}
    with start_cluster("mysql", directory, **how) as cluster:
        aurora = AuroraCluster(cluster)
        with aurora.network.known():
            yield aurora
        aurora.close()


@contextmanager
def multi_az_cluster(cluster):
    """A network on which a cluster of MySQL is a Multi-AZ cluster of RDS: each lists all in mysql.rds_topology."""
    network = Network()
    with ExitStack() as stack, cluster.dba_connect(cluster.primary) as dba:
        names = {f"az-{node.name}.{DOMAIN}": node for node in cluster.nodes}
        for name, node in ((WRITER_ENDPOINT, cluster.primary), *names.items()):
            stack.enter_context(network.listen(name, partial(Proxy, node.host, node.port)))
        # Beside them stands a server that would take their place one day, which copies from them as well.
        roles = {
            **dict.fromkeys(names, "BLUE_GREEN_DEPLOYMENT_SOURCE"),
            f"green.{DOMAIN}": "BLUE_GREEN_DEPLOYMENT_TARGET",
        }
        rows = ", ".join(
            f"({at}, '{name}', {network.port}, '{role}')" for at, (name, role) in enumerate(roles.items(), start=1)
        )
        tell(
            dba,
            "CREATE TABLE mysql.rds_topology (id INT PRIMARY KEY, endpoint VARCHAR(255), port INT, role VARCHAR(64))",
            f"INSERT INTO mysql.rds_topology VALUES {rows}",
            "GRANT SELECT ON mysql.rds_topology TO console_read@'%'",
        )
        cluster.wait_caught_up()
        with network.known():
            yield network
        tell(dba, "REVOKE SELECT ON mysql.rds_topology FROM console_read@'%'", "DROP TABLE mysql.rds_topology")
