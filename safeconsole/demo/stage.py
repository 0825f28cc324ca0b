"""A temporary cluster with a configuration that points at it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import msgspec

CLUSTER = "shop"

Engine = Literal["embedded", "mariadb", "mysql"]
ENGINES: tuple[Engine, ...] = ("embedded", "mariadb", "mysql")


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    config: Path
    nodes: tuple[str, ...]


@contextmanager
def staged(engine: Engine, release: str = "") -> Iterator[Staged]:
    """Start a temporary cluster of one primary and two replicas with the shop.

    Raises:
        ServersUnavailableError: the engine's server is not available on this machine.
        ServerStartError: a server did not start.
    """
    directory = Path(tempfile.mkdtemp(prefix="safeconsole-demo-"))
    try:
        yield from _embedded(directory) if engine == "embedded" else _servers(engine, directory, release)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _embedded(directory: Path) -> Iterator[Staged]:
    from safeconsole.demo.embedded import Replicator, create_embedded

    cluster = create_embedded(directory / "nodes")
    nodes = {str(node.path): node.name for node in cluster.nodes}
    with Replicator(cluster) as replicator:
        # A replica that is not followed for yet is not fit, and the first read would say so.
        replicator.wait_caught_up()
        yield configured(directory, nodes, engine="sqlite")


def _servers(engine: Literal["mariadb", "mysql"], directory: Path, release: str) -> Iterator[Staged]:
    from safeconsole.demo.servers import start_cluster

    with start_cluster(engine, directory / "nodes", release=release) as cluster:
        nodes = {f"{node.host}:{node.port}": node.name for node in cluster.nodes}
        yield configured(directory, nodes, passwords=cluster.accounts)


def configured(
    directory: Path,
    nodes: Mapping[str, str],
    *,
    engine: str = "auto",
    passwords: Mapping[str, str] = MappingProxyType({}),
    demo: Path | None = None,
) -> Staged:
    """Write a configuration for a demo's cluster; passwords go to private files.

    Args:
        directory: gets the configuration, the secrets and the journal.
        passwords: by account; none for the embedded engine.
        demo: the directory that holds the demo's key, `directory`/nodes unless given.
    """
    lines = [
        f"[clusters.{CLUSTER}]",
        f'engine = "{engine}"',
        f"nodes = {json.dumps(list(nodes))}",
        'environment = "demo"',
        f"demo = {json.dumps(str(demo or directory / 'nodes'))}",
        f'schema = "{CLUSTER}"',
        f"[clusters.{CLUSTER}.names]",
        *(f"{json.dumps(address)} = {json.dumps(name)}" for address, name in nodes.items()),
    ]
    if passwords:
        secrets = directory / "secrets"
        secrets.mkdir(mode=0o700)
        for account, password in passwords.items():
            path = secrets / account
            path.touch(mode=0o600)
            path.write_text(f"{password}\n", encoding="utf-8")
        lines += [
            f"[clusters.{CLUSTER}.accounts]",
            'read = "console_read"',
            'elevated = "console_elevated"',
            'diagnose = "console_diagnose"',
            f"[clusters.{CLUSTER}.secrets]",
            'sources = ["command"]',
            f"command = {json.dumps(['cat', f'{secrets}/{{account}}'])}",
            f"[clusters.{CLUSTER}.tls]",
            'mode = "disabled"',
        ]
    lines += ["[audit]", f"directory = {json.dumps(str(directory / 'audit'))}"]
    config = directory / "config.toml"
    config.touch(mode=0o600)
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Staged(config=config, nodes=tuple(nodes))
