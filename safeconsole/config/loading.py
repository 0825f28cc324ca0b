"""Reads the configuration: TOML, strict, one line an error; the system's wins over a person's. Adds a cluster to it."""

from __future__ import annotations

import math
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

import msgspec

from safeconsole.config.settings import ApprovalSettings, ClusterSettings, Settings
from safeconsole.errors import ConfigurationError
from safeconsole.patterns import late
from safeconsole.policy.limits import FLOORS, LIMIT_NAMES, Limits, tighten

# * A cluster that the system names: its keys are the system's. The person may add `OWN_KEYS` that the system
#   leaves open, and a stricter `tls.mode`; anything else that differs is an error, since nobody should believe
#   a setting that is not in force.
# * A cluster that the system does not name: the person's, unless the system says `locked = true`, or one of its nodes
#   is a node of a cluster of the system's: under another name it would have another policy. Names that resolve alike
#   are not compared: a system that must not be got round says `locked = true`.
# * Limits: the tighter one of each.
# * Approvals: the system's alone, where it says anything of them, but for the person's own key.
# * Notices: the system's alone, where it says anything of them: nobody is told elsewhere, or nothing.
# * A sink that the system names, and recordings where it says something of them: the system's alone, so that no copy
#   goes elsewhere, is refused where it goes, or is cut short.
# * Everything else, such as the journal's place: the system's, key by key, wherever it says something.


Table = dict[str, Any]

OWN_KEYS = frozenset({"accounts", "secrets", "schema", "connect_seconds", "ssh"})
"""Keys of a system cluster that a person may set: account, source of its secret, first schema, the way there."""

TLS_MODES = ("disabled", "verify-ca", "verify-identity")
"""From the loosest to the strictest."""

DEFAULT_PORT = 3306
DEFAULT_TLS_MODE = "verify-identity"


def merged(system: Table, own: Table, *, own_name: str, system_name: str) -> Table:
    """Return the effective table of two valid ones.

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
    taken = {_plain(node): name for name, cluster in clusters.items() for node in cluster.get("nodes", ())}
    for node in own.get("nodes", ()):
        if _plain(node) in taken:
            raise ConfigurationError(
                f"{where}.nodes: {node} is a node of the cluster {taken[_plain(node)]}, which {system_name} sets",
                instead=f"use {taken[_plain(node)]}; one node of it can be named when it is asked",
            )


def _plain(address: str) -> str:
    return address.lower().removesuffix(f":{DEFAULT_PORT}")


def _tls(system: Table, own: Table, *, where: str, system_name: str) -> Table:
    result = dict(system)
    required = system.get("mode", DEFAULT_TLS_MODE)
    mode = own.get("mode", required)
    if TLS_MODES.index(mode) < TLS_MODES.index(required):
        raise ConfigurationError(f"{where}.tls.mode: {mode} is weaker than {required}, which {system_name} requires")
    for key in ("ca", "server_key"):
        if key in own and own[key] != system.get(key, ""):
            raise ConfigurationError(f"{where}.tls.{key}: whom to trust is set by {system_name}")
    return {**result, "mode": mode}


def _audit(system: Table, overlaid: Table) -> Table:
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


# The person's file is the first of `--config`, `$SAFECONSOLE_CONFIG` and the one in their configuration directory;
# `/etc/safeconsole/config.toml` is read as well, and wins (`precedence`).


SYSTEM_FILE = Path("/etc/safeconsole/config.toml")
FILE_VARIABLE = "SAFECONSOLE_CONFIG"
LONGEST_WAIT_SECONDS = 86_400.0
"""Longest time that a request may wait for approval: one day."""

LONGEST_SIGN_IN_HOURS = 168
MOST_THREADS = 256

LARGEST_FILE_BYTES = 4 * 1024 * 1024

_AT = late(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = late(r"unknown field `([^`]*)`")


def load_settings(path: str | None, environ: Mapping[str, str], *, system: Path = SYSTEM_FILE) -> Settings:
    """Return the effective configuration; without any file it is empty.

    Args:
        path: the file of `--config`, or None.
        system: the file that wins.

    Raises:
        ConfigurationError: a named file is missing, cannot be read, is world-writable, is not TOML, or has an unknown
            key; or the person's file changes what the system's sets.
    """
    layers = configuration_layers(path, environ, system=system)
    table: Table = {}
    for above, (file, own) in zip((None, *(file for file, _ in layers)), layers, strict=False):
        table = merged(table, own, own_name=str(file), system_name=str(above))
    return _settings(table, layers[-1][0] if layers else system)


def configuration_layers(
    path: str | None, environ: Mapping[str, str], *, system: Path = SYSTEM_FILE
) -> tuple[tuple[Path, Table], ...]:
    """Return the files that say something, each with its table, the one that wins first.

    Those are the system's, the team's that root pulled, the team's that the person pulled (not where a file is named),
    and the person's. Raises ConfigurationError, as `load_settings`.
    """
    own = own_file(path, environ)
    named = bool(path or environ.get(FILE_VARIABLE, ""))
    teams = [] if named else [team_place(own.parent) / "current" / "config.toml"]
    layers = [(file, _table(file)) for file in (*_system_files(system), *teams) if is_there(file)]
    if (named or own.exists()) and not any(own.exists() and own.samefile(file) for file, _ in layers):
        layers.append((own, _table(own)))
    return tuple(layers)


def governed_clusters(*, system: Path = SYSTEM_FILE) -> frozenset[str]:
    """Return the names of the clusters that the system's configuration sets. Raises ConfigurationError."""
    files = [file for file in _system_files(system) if is_there(file)]
    return frozenset(name for file in files for name in _table(file).get("clusters", {}))


def team_place(directory: Path) -> Path:
    """Return where bundles of a team's configuration are kept, beside a configuration file."""
    return directory / "team"


def _system_files(system: Path) -> tuple[Path, Path]:
    return system, team_place(system.parent) / "current" / "config.toml"


def journal_directory(settings: Settings, environ: Mapping[str, str], *, login: str) -> Path:
    """Return the journal's directory; the account's login replaces `{login}` in `audit.directory`."""
    configured = settings.audit.directory.replace("{login}", login)
    if configured:
        return _home_expanded(configured, environ)
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if Path(state).is_absolute() else _home(environ) / ".local" / "state"
    return base / "safeconsole" / "audit"


def is_there(path: Path) -> bool:
    """Whether anything exists under a name: an unreadable file or a dangling link must not count as nothing."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def read_guarded(path: Path) -> bytes:
    """Return the bytes of a configuration or policy file.

    Raises ConfigurationError: it cannot be read, is too large, or others may write to it or replace it.
    """
    try:
        with path.open("rb") as file:
            # On the open file, not on the path: it must not be swapped between the look and the read.
            opened = os.fstat(file.fileno())
            _refuse_world_writable(path, opened)
            data = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {(error.strerror or 'unknown error').lower()}") from error
    if len(data) > LARGEST_FILE_BYTES:
        raise ConfigurationError(f"{path} is larger than {LARGEST_FILE_BYTES} bytes")
    return data


def _refuse_world_writable(path: Path, opened: os.stat_result) -> None:
    if not stat.S_ISREG(opened.st_mode):
        return
    if opened.st_mode & stat.S_IWOTH:
        raise ConfigurationError(f"{path} can be written by anybody", instead=f"chmod o-w {path}")
    parent = path.resolve().parent
    folder = parent.stat().st_mode
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        raise ConfigurationError(
            f"{parent}, where {path.name} is, can be written by anybody", instead=f"chmod o-w {parent}"
        )


def own_file(path: str | None, environ: Mapping[str, str]) -> Path:
    """Return the person's file, existing or not: `--config`, $SAFECONSOLE_CONFIG, or their directory's."""
    named = path or environ.get(FILE_VARIABLE, "")
    if named:
        return _home_expanded(named, environ)
    base = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if Path(base).is_absolute() else _home(environ) / ".config"
    return folder / "safeconsole" / "config.toml"


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def _home_expanded(text: str, environ: Mapping[str, str]) -> Path:
    return _home(environ) / text[2:] if text.startswith("~/") else Path(text)


def _table(path: Path) -> Table:
    return checked_table(read_guarded(path), path)


def checked_table(data: bytes, path: Path) -> Table:
    """Return a validated configuration table with absolute paths, given the file that holds it or will.

    Raises ConfigurationError: it is not TOML, or has an unknown key.
    """
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: byte {error.start} is not utf-8") from error
    except RecursionError as error:
        raise ConfigurationError(f"{path}: not toml: nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not toml: {_uncapitalised(str(error))}") from error
    _settings(table, path)
    _assign_policies(table, path)
    _make_absolute(table, path.resolve().parent)
    return table


def _assign_policies(table: Table, path: Path) -> None:
    """Give each cluster without a policy the one of its labels, by the words of the same file alone."""
    policies = table.get("policies", {})
    for name, cluster in table.get("clusters", {}).items():
        found = {label: policies[label] for label in cluster.get("labels", ()) if label in policies}
        if "policy" in cluster or not found:
            continue
        if len(set(found.values())) > 1:
            raise ConfigurationError(
                f"{path}: clusters.{name}: its labels {' and '.join(sorted(found))} have different policies",
                instead=f"name one in clusters.{name}.policy",
            )
        cluster["policy"] = next(iter(found.values()))


def _make_absolute(table: Table, folder: Path) -> None:
    for cluster in table.get("clusters", {}).values():
        policy, tls = cluster.get("policy", ""), cluster.get("tls", {})
        if "/" in policy or policy.endswith((".yaml", ".yml")):
            cluster["policy"] = str(folder / Path(policy).expanduser())
        for key in ("ca", "server_key"):
            if tls.get(key):
                tls[key] = str(folder / Path(tls[key]).expanduser())
    for section, key in (("audit", "directory"), ("approvals", "directory"), ("approvals", "key"), ("serve", "key")):
        named = table.get(section, {}).get(key, "")
        if named and named != "keyring":
            table[section][key] = str(folder / Path(named).expanduser())


def _settings(table: Table, source: Path) -> Settings:
    # One by one, because an error in a mapping's value does not say under which key it stands.
    for key, kind in (("clusters", ClusterSettings), ("limits", float)):
        values = table.get(key, {})
        for name, value in values.items() if isinstance(values, dict) else ():
            _converted(value, kind, source, (key, name))
    settings: Settings = _converted(table, Settings, source, ())
    for name, settings_of_one in settings.clusters.items():
        _check_cluster(name, settings_of_one, source)
    _check_limits(settings.limits, source)
    _check_approvals(settings.approvals, source)
    if not 0 < settings.serve.session_hours <= LONGEST_SIGN_IN_HOURS or not 0 < settings.serve.threads <= MOST_THREADS:
        raise ConfigurationError(
            f"{source}: serve: session_hours is up to {LONGEST_SIGN_IN_HOURS}, threads up to {MOST_THREADS}"
        )
    for name in settings.audit.sinks:
        if not re.fullmatch(r"[0-9A-Za-z_-]+", name):
            raise ConfigurationError(f"{source}: audit.sinks.{name}: a name is letters, digits, dashes and underscores")
    return settings


def _converted(value: Any, kind: Any, source: Path, at: tuple[str, ...]) -> Any:  # noqa: ANN401 - any TOML value
    try:
        return msgspec.convert(value, type=kind, strict=True)
    except msgspec.ValidationError as error:
        _explain(str(error), kind, source, at)


def _explain(message: str, kind: Any, source: Path, at: tuple[str, ...]) -> NoReturn:  # noqa: ANN401 - a type
    found = _AT.match(message)
    assert found is not None
    inner = tuple(part for part in re.split(r"[.\[\]]+", found["path"] or "") if part)
    unknown = _UNKNOWN.search(found["what"])
    here = _type_at(kind, inner)
    if unknown:
        key = ".".join((*at, *inner, unknown.group(1)))
        names = getattr(here, "__struct_fields__", ())
        _unknown_key(f"{source}: {key} is not a setting", unknown.group(1), names)
    what = _uncapitalised(found["what"])
    allowed = [str(word) for part in (here, *get_args(here)) for word in get_args(part) if isinstance(word, str)]
    if allowed and "enum" in what:
        what = f"{what}, it is one of {', '.join(allowed)}"
    raise ConfigurationError(f"{source}: {'.'.join((*at, *inner)) or 'the file'}: {what}")


def _unknown_key(message: str, name: str, valid: Iterable[str]) -> NoReturn:
    # Imported here: a configuration that is right needs none of it.
    import difflib  # noqa: PLC0415

    near = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"valid here: {', '.join(valid)}"
    raise ConfigurationError(f"{message}; {hint}")


def _type_at(kind: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - types
    for part in path:
        if get_origin(kind) in {dict, tuple}:
            kind = [each for each in get_args(kind) if each is not Ellipsis][-1]
        else:
            kind = get_type_hints(kind).get(part) if hasattr(kind, "__struct_fields__") else None
    return kind


def _check_cluster(name: str, cluster: ClusterSettings, source: Path) -> None:
    at = f"{source}: clusters.{name}"
    if not re.fullmatch(r"[0-9A-Za-z_][0-9A-Za-z_.-]*", name):
        raise ConfigurationError(f"{at}: a cluster's name is letters, digits, dots, dashes and underscores")
    if not cluster.nodes:
        raise ConfigurationError(f"{at}.nodes: it is empty, and a cluster has at least one node")
    # `not >` rather than `<=`: a NaN must be refused too.
    if not 0 < cluster.connect_seconds < float("inf"):
        raise ConfigurationError(f"{at}.connect_seconds: it must be positive")
    strangers = sorted({*cluster.names, *cluster.tags, *cluster.free_memory} - {*cluster.nodes})
    if strangers:
        raise ConfigurationError(
            f"{at}: names, tags and free_memory are by node address, and {strangers[0]} is not one of its nodes"
        )
    if "aws-iam" in cluster.secrets.sources and cluster.tls.mode == "disabled":
        raise ConfigurationError(
            f"{at}.tls.mode: it is disabled, and a token of aws-iam may travel over verified TLS only",
            instead='set it to "verify-identity", with tls.ca for the authority of RDS',
        )
    if cluster.ssh and (cluster.ssh.startswith("-") or not re.fullmatch(r"[!-~]+", cluster.ssh)):
        raise ConfigurationError(
            f"{at}.ssh: it is not a host as ssh takes it: a name in its configuration, or user@host"
        )
    if cluster.ssh and any("/" in node for node in cluster.nodes):
        raise ConfigurationError(f"{at}.ssh: what is reached through it are addresses host:port")
    if "command" in cluster.secrets.sources and not cluster.secrets.command:
        raise ConfigurationError(f"{at}.secrets.command: it is empty, and sources names it")


def _check_approvals(approvals: ApprovalSettings, source: Path) -> None:
    # `not <` rather than `>=`: a NaN must be refused too.
    if not 0 < approvals.wait_seconds <= LONGEST_WAIT_SECONDS:
        raise ConfigurationError(f"{source}: approvals.wait_seconds: it is over 0 and at most {LONGEST_WAIT_SECONDS:g}")
    if approvals.directory and approvals.database:
        raise ConfigurationError(f"{source}: approvals: requests lie in a directory or a database, not in both")
    keys = [(f"approvers.{name}", public) for name, public in approvals.approvers.items()]
    for name, public in (*keys, *((f"servers.{name}", public) for name, public in approvals.servers.items())):
        if not re.fullmatch(r"[0-9a-fA-F]{64}", public):
            raise ConfigurationError(
                f"{source}: approvals.{name}: it is not a public key of 64 hexadecimal digits",
                instead="safeconsole approve --new-key FILE|keyring prints one",
            )


def _check_limits(limits: Mapping[str, float], source: Path) -> None:
    for name in limits:
        if name not in LIMIT_NAMES:
            _unknown_key(f"{source}: limits.{name} is not a limit", name, LIMIT_NAMES)
        if not _is_ceiling(name, limits[name]):
            raise ConfigurationError(f"{source}: limits.{name}: {limits[name]:g} is out of range")


def _is_ceiling(name: str, value: float) -> bool:
    try:
        tighten(Limits(), {name: value})
    except (ValueError, OverflowError):
        return False
    return not math.isnan(value)


def _uncapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]
