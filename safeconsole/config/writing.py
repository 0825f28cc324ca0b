"""Adds a cluster to a person's configuration, and leaves the rest of it as it is."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from safeconsole.config.loading import SYSTEM_FILE, checked_table, is_there, merged, own_file, read_guarded
from safeconsole.config.settings import ClusterSettings
from safeconsole.errors import ConfigurationError


def add_cluster(
    path: str | None, environ: Mapping[str, str], name: str, cluster: ClusterSettings, *, system: Path = SYSTEM_FILE
) -> Path:
    """Add a cluster to the person's configuration file, and return the file; a new one is private.

    Args:
        path: the file of `--config`, or None.
        system: the file that wins.

    Raises:
        ConfigurationError: the cluster exists, its settings or the existing file are invalid, or the system's file
            forbids adding one.
        OSError: it cannot be written.
    """
    file = own_file(path, environ)
    file = file.resolve() if file.exists() else file
    before = read_guarded(file) if file.exists() else b""
    system_table = checked_table(read_guarded(system), system) if is_there(system) else {}
    known = {**checked_table(before, file).get("clusters", {}), **system_table.get("clusters", {})}
    if name in known:
        raise ConfigurationError(f"cluster {name} is configured already, in {file}", instead="edit it there")
    after = before + (b"\n" if before else b"") + _text(name, cluster).encode()
    merged(system_table, checked_table(after, file), own_name=str(file), system_name=str(system))
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _replace(file, after)
    return file


def _text(name: str, cluster: ClusterSettings) -> str:
    plain = msgspec.to_builtins(cluster)
    usual = msgspec.to_builtins(ClusterSettings(nodes=()))
    said = {key: value for key, value in plain.items() if key == "nodes" or value != usual[key]}
    # A bare key where it may be one; quoted, a dot in a name is no step down.
    table = f"clusters.{name if '.' not in name else json.dumps(name)}"
    lines = [f"[{table}]", *(f"{key} = {_value(value)}" for key, value in said.items() if not isinstance(value, dict))]
    for key, values in said.items():
        if isinstance(values, dict):
            usual_values = usual[key]
            lines.append(f"[{table}.{key}]")
            lines.extend(f"{_key(k)} = {_value(v)}" for k, v in values.items() if v != usual_values.get(k))
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if name.replace("_", "").isalnum() else json.dumps(name)


def _value(value: object) -> str:
    # What JSON writes of strings, numbers and lists of them is TOML too.
    return json.dumps(value, ensure_ascii=False)


def _replace(file: Path, data: bytes) -> None:
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
