"""
Policy files of this computer: shipped ones by name, others by path.

A file is refused when others may write to it, when a key stands in it twice, when it uses anything
of YAML beyond plain mappings, sequences and scalars, or when it is larger than a policy can be.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from safeconsole.core.errors import ConfigurationError, PolicyInvalidError
from safeconsole.core.policy import Policy
from safeconsole.core.policy_document import policy_from_document

if TYPE_CHECKING:
    from safeconsole.core.cases import Case

LARGEST_FILE_BYTES = 1024 * 1024
"""A policy of this size would have thousands of rules."""

DEEPEST = 20
"""A policy nests its collections four deep."""


class PolicyFiles:
    """
    Finds and reads policies and their cases.

    Args:
        shipped: the directory of the shipped policies; found by itself when None.
    """

    def __init__(self, shipped: Path | None = None) -> None:
        self._shipped = _shipped_directory() if shipped is None else shipped

    def names(self) -> tuple[str, ...]:
        """Return the names of the shipped policies, in alphabetical order."""
        found = (path.name.removesuffix(".yaml") for path in self._shipped.glob("*.yaml"))
        return tuple(sorted(name for name in found if not name.endswith(".cases")))

    def load(self, name: str) -> Policy:
        """
        Return a policy.

        Args:
            name: a shipped policy's name, or a path.

        Raises:
            ConfigurationError: there is no such policy.
            PolicyInvalidError: its file cannot be read, may be written by others, or says nonsense.
        """
        path = self._path(name)
        text = _read(path)
        document, lines = _document(text, str(path))
        digest = hashlib.sha256(text).hexdigest()
        return policy_from_document(_bare(name), document, source=str(path), text_hash=digest, lines=lines)

    def cases(self, name: str) -> tuple[Case, ...]:
        """Return the examples beside a policy, none when there is no such file; raises as `load`."""
        # Imported here: only those who test a policy read its examples.
        from safeconsole.core.cases import cases_from_document  # noqa: PLC0415

        path = self._path(name)
        path = path.with_name(f"{path.stem}.cases{path.suffix}")
        if not path.exists():
            return ()
        document, _ = _document(_read(path), str(path))
        return cases_from_document(document, source=str(path))

    def _path(self, name: str) -> Path:
        path = Path(name).expanduser() if _is_path(name) else self._shipped / f"{name}.yaml"
        if not path.exists():
            shipped = ", ".join(self.names())
            raise ConfigurationError(f"no policy {name}", instead=f"shipped policies: {shipped}; or give a file's path")
        return path


def _is_path(name: str) -> bool:
    return "/" in name or os.sep in name or name.endswith((".yaml", ".yml"))


def _bare(name: str) -> str:
    return Path(name).stem if _is_path(name) else name


def _shipped_directory() -> Path:
    """Return where the shipped policies are: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "_policies"
    return installed if installed.is_dir() else package.parent / "policies"


def _read(path: Path) -> bytes:
    """
    Return a file's bytes.

    Raises:
        PolicyInvalidError: it cannot be read, is no regular file, is too large, or others may write to it.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            # The opened file is looked at, not its name: what is read is what was judged.
            _require_trusted(path, os.fstat(file.fileno()))
            return file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise PolicyInvalidError(f"{path} cannot be read: {error.strerror}") from None


def _require_trusted(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PolicyInvalidError(f"{path} is not a regular file")
    if status.st_mode & stat.S_IWOTH:
        raise PolicyInvalidError(f"{path} may be written by everybody", instead=f"chmod o-w {path}")
    folder = path.resolve().parent
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise PolicyInvalidError(f"{path} may be replaced by everybody", instead=f"chmod o-w {folder}")
    if status.st_size > LARGEST_FILE_BYTES:
        raise PolicyInvalidError(f"{path} is too large for a policy: {status.st_size} bytes")


def _document(text: bytes, source: str) -> tuple[object, dict[str, int]]:
    """
    Return what a YAML text holds, and the line of each of its keys and items by path.

    Raises:
        PolicyInvalidError: it is not plain YAML; the message names file and line.
    """
    try:
        _require_shallow(text, source)
        root = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise PolicyInvalidError(f"{where}: {problem}") from None
    lines: dict[str, int] = {}
    if root is None:
        return None, lines
    return _value(root, "", source, lines, set()), lines


def _require_shallow(text: bytes, source: str) -> None:
    # Composing recurses, in compiled code too: depth has to be known before.
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise PolicyInvalidError(f"{source}: nested deeper than a policy can be")


def _value(node: yaml.Node, path: str, source: str, lines: dict[str, int], seen: set[int]) -> object:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if id(node) in seen:
        raise PolicyInvalidError(f"{source}:{line}: an alias; say it twice instead")
    seen.add(id(node))
    if isinstance(node, yaml.CollectionNode) and node.tag not in {_MAP, _SEQUENCE}:
        raise PolicyInvalidError(f"{source}:{line}: a tag {node.tag}; a policy has none")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, source, lines, seen)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, f"{path}[{index}]", source, lines, seen) for index, item in enumerate(node.value)]
    return _scalar(node, f"{source}:{line}")


def _mapping(
    node: yaml.MappingNode, path: str, source: str, lines: dict[str, int], seen: set[int]
) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.tag != "tag:yaml.org,2002:str":
            raise PolicyInvalidError(f"{source}:{line}: a key that is no plain text")
        if key.value in values:
            raise PolicyInvalidError(f"{source}:{line}: {key.value} stands here twice")
        where = f"{path}.{key.value}" if path else key.value
        lines[where] = line
        values[key.value] = _value(value, where, source, lines, seen)
    return values


def _scalar(node: yaml.Node, where: str) -> object:
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind not in {"str", "int", "float", "bool", "null"}:
        raise PolicyInvalidError(f"{where}: {node.value} is read as a {kind}; put it in quotes")
    if kind == "str":
        return node.value
    try:
        value = yaml.safe_load(node.value)
    except (yaml.YAMLError, ValueError):
        value = node.value
    # An explicit tag may claim what the text is not.
    if isinstance(value, str):
        raise PolicyInvalidError(f"{where}: {node.value} is no {kind}")
    return value


_MAP, _SEQUENCE = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
