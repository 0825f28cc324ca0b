"""
The system's configuration wins: what it sets, a person's may tighten, never loosen.

* A cluster that the system names: its keys are the system's. The person may add `OWN_KEYS` that the system
  leaves open, and a stricter `tls.mode`; anything else that differs is an error, since nobody should believe
  a setting that is not in force.
* A cluster that the system does not name: the person's, unless the system says `locked = true`, or one of its nodes
  is a node of a cluster of the system's: under another name it would have another policy. Names that resolve alike
  are not compared: a system that must not be got round says `locked = true`.
* Limits: the tighter one of each.
* Approvals: the system's alone, where it says anything of them, but for the person's own key.
* Notices: the system's alone, where it says anything of them: nobody is told elsewhere, or nothing.
* A sink that the system names, and recordings where it says something of them: the system's alone, so that no copy
  goes elsewhere, is refused where it goes, or is cut short.
* Everything else, such as the journal's place: the system's, key by key, wherever it says something.
"""

from __future__ import annotations

from typing import Any

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.limits import FLOORS

Table = dict[str, Any]

OWN_KEYS = frozenset({"accounts", "secrets", "schema", "connect_seconds"})
"""What a person may say of a system cluster: who they log in as, how the secret is fetched, where they start."""

TLS_MODES = ("disabled", "verify-ca", "verify-identity")
"""From the loosest to the strictest."""

DEFAULT_PORT = 3306
DEFAULT_TLS_MODE = "verify-identity"


def merged(system: Table, own: Table, *, own_name: str, system_name: str) -> Table:
    """
    Return the table in force; both are valid on their own.

    Args:
        own_name, system_name: the files' names, for messages.

    Raises:
        ConfigurationError: the person's file changes what the system's sets.
    """
    if not system:
        return own
    result = _overlaid(own, system)
    clusters: Table = system.get("clusters", {})
    result["clusters"] = dict(clusters)
    for name, cluster in own.get("clusters", {}).items():
        where = f"{own_name}: clusters.{name}"
        if name in clusters:
            result["clusters"][name] = _cluster(clusters[name], cluster, where=where, system_name=system_name)
        elif system.get("locked", False):
            raise ConfigurationError(f"{where}: {system_name} is locked, so that no cluster can be added")
        else:
            _refuse_nodes_of(clusters, cluster, where=where, system_name=system_name)
            result["clusters"][name] = cluster
    if "approvals" in system:
        # Whoever could add an approver, or wait longer than the system says, could approve what it does not let them.
        own_key = {"key": own["approvals"]["key"]} if "key" in own.get("approvals", {}) else {}
        result["approvals"] = {**own_key, **system["approvals"]}
    if "notices" in system:
        result["notices"] = system["notices"]
    if "audit" in system:
        result["audit"] = _audit(system["audit"], result["audit"])
    result["limits"] = _limits(system.get("limits", {}), own.get("limits", {}))
    return result


def _overlaid(under: Table, over: Table) -> Table:
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        result[key] = _overlaid(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _cluster(system: Table, own: Table, *, where: str, system_name: str) -> Table:
    result = dict(system)
    for key, value in own.items():
        if key == "tls":
            result["tls"] = _tls(system.get("tls", {}), value, where=where, system_name=system_name)
        elif key in OWN_KEYS and key not in system:
            result[key] = value
        elif system.get(key) != value:
            raise ConfigurationError(
                f"{where}.{key}: the cluster is set by {system_name}, and this cannot be changed here",
                instead=f"remove it, or give the cluster another name; open to you are: {', '.join(sorted(OWN_KEYS))}",
            )
    return result


def _refuse_nodes_of(clusters: Table, own: Table, *, where: str, system_name: str) -> None:
    """Refuse a cluster that leads to a node of one of the system's."""
    taken = {_plain(node): name for name, cluster in clusters.items() for node in cluster.get("nodes", ())}
    for node in own.get("nodes", ()):
        if _plain(node) in taken:
            raise ConfigurationError(
                f"{where}.nodes: {node} is a node of the cluster {taken[_plain(node)]}, which {system_name} sets",
                instead=f"use {taken[_plain(node)]}; to ask one node of it, --to NODE",
            )


def _plain(address: str) -> str:
    return address.lower().removesuffix(f":{DEFAULT_PORT}")


def _tls(system: Table, own: Table, *, where: str, system_name: str) -> Table:
    result = dict(system)
    required = system.get("mode", DEFAULT_TLS_MODE)
    mode = own.get("mode", required)
    if TLS_MODES.index(mode) < TLS_MODES.index(required):
        raise ConfigurationError(f"{where}.tls.mode: {mode} is looser than {required}, which {system_name} asks for")
    for key in ("ca", "server_key"):
        if key in own and own[key] != system.get(key, ""):
            raise ConfigurationError(f"{where}.tls.{key}: whom to trust is set by {system_name}")
    return {**result, "mode": mode}


def _audit(system: Table, overlaid: Table) -> Table:
    """Return what is in force of the journal, with what is the system's alone as the system says it."""
    result = dict(overlaid)
    if "recordings" in system:
        result["recordings"] = system["recordings"]
    if "sinks" in system:
        result["sinks"] = {**overlaid["sinks"], **system["sinks"]}
    return result


def _limits(system: dict[str, float], own: dict[str, float]) -> dict[str, float]:
    result = dict(own)
    for name, value in system.items():
        choose = max if name in FLOORS else min
        result[name] = choose(value, own.get(name, value))
    return result
