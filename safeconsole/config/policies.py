"""Policy files: shipped ones by name, others by path.

A file is refused when others may write to it, when it is too large, or when it is not the plain YAML that `policy_text`
reads. Beside a shipped file stands its parsed form, which saves the import of a YAML parser at start; it is used only
if it was made from exactly the bytes of the file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from safeconsole.errors import ConfigurationError, PolicyInvalidError
from safeconsole.policy.document import policy_from_document
from safeconsole.policy.policy import Policy, capped

if TYPE_CHECKING:
    from safeconsole.policy.cases import Case

LARGEST_FILE_BYTES = 1024 * 1024
"""A policy of this size would have thousands of rules."""


READ_SUFFIX = ".read.json"
NO_LIMITS: Mapping[str, float] = MappingProxyType({})


class ReadForm(msgspec.Struct, frozen=True, kw_only=True):
    """The parsed form of a policy's text.

    Attributes:
        text_hash: hexadecimal SHA-256 of the text.
        document: its mappings, sequences and scalars.
        lines: line numbers from 1 by path ("mode", "rules[2].when").
    """

    text_hash: str
    document: Any
    lines: dict[str, int]


def read_form_of(text: bytes, source: str) -> ReadForm:
    """Parse a policy's text. Raises PolicyInvalidError."""
    # Imported here: a start that finds a read form needs no YAML parser.
    from safeconsole.config.policy_text import document_of  # noqa: PLC0415

    document, lines = document_of(text, source)
    return ReadForm(text_hash=hashlib.sha256(text).hexdigest(), document=document, lines=lines)


class PolicyFiles:
    """Finds and reads policies and their cases.

    Args:
        shipped: the directory of the shipped policies; None finds it.
    """

    def __init__(self, shipped: Path | None = None) -> None:
        self._shipped = _shipped_directory() if shipped is None else shipped

    def names(self) -> tuple[str, ...]:
        found = (path.name.removesuffix(".yaml") for path in self._shipped.glob("*.yaml"))
        return tuple(sorted(name for name in found if not name.endswith(".cases")))

    def load(self, name: str) -> Policy:
        """Return a policy by a shipped name or a path.

        Raises:
            ConfigurationError: there is no such policy.
            PolicyInvalidError: its file cannot be read, may be written by others, or is invalid.
        """
        path = self._path(name)
        text = _read(path)
        digest = hashlib.sha256(text).hexdigest()
        read = self._read_form(path, digest) or read_form_of(text, str(path))
        return policy_from_document(_bare(name), read.document, source=str(path), text_hash=digest, lines=read.lines)

    def rereading(self, name: str, policy: Policy, limits: Mapping[str, float] = NO_LIMITS) -> Callable[[], Policy]:
        """Return a function that returns the file's present policy: the same object while the file is unchanged.

        Args:
            limits: the configuration's, which hold on top of what the file says.
        """
        path = self._path(name)
        seen = _state_of(path)
        if hashlib.sha256(_read(path)).hexdigest() != policy.hash:
            seen = ()
        held = policy

        def look() -> Policy:
            nonlocal seen, held
            found = _state_of(path)
            if found != seen:
                # The state is from before the reading: what changes in between is read again.
                again = self._again(name)
                held, seen = policy if again.hash == policy.hash else capped(again, limits), found
            return held

        return look

    def _again(self, name: str) -> Policy:
        try:
            return self.load(name)
        except PolicyInvalidError as error:
            message = f"the policy's file has changed, and is none any more: {error.message}"
            raise PolicyInvalidError(message, evidence=error.evidence, instead=error.instead) from None

    def cases(self, name: str) -> tuple[Case, ...]:
        """Return the cases of a policy, none without a file; raises as `load`."""
        # Imported here: only those who test a policy read its examples.
        from safeconsole.policy.cases import cases_from_document  # noqa: PLC0415

        path = self._path(name)
        path = path.with_name(f"{path.stem}.cases{path.suffix}")
        if not path.exists():
            return ()
        return cases_from_document(read_form_of(_read(path), str(path)).document, source=str(path))

    def _read_form(self, path: Path, digest: str) -> ReadForm | None:
        beside = path.with_suffix(READ_SUFFIX)
        if path.parent != self._shipped or not beside.exists():
            return None
        try:
            found = msgspec.json.decode(_read(beside), type=ReadForm)
        except msgspec.MsgspecError:
            return None
        return found if found.text_hash == digest else None

    def _path(self, name: str) -> Path:
        path = Path(name).expanduser() if _is_path(name) else self._shipped / f"{name}.yaml"
        if not path.exists():
            shipped = ", ".join(self.names())
            raise ConfigurationError(f"no policy {name}", instead=f"shipped policies: {shipped}; or give a file's path")
        return path


def _state_of(path: Path) -> tuple[int, ...]:
    """Return what changes with a file. Raises PolicyInvalidError: it is gone."""
    try:
        status = path.stat()
    except OSError as error:
        raise PolicyInvalidError(f"{path} cannot be read any more: {(error.strerror or '').lower()}") from None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_path(name: str) -> bool:
    return "/" in name or os.sep in name or name.endswith((".yaml", ".yml"))


def _bare(name: str) -> str:
    return Path(name).stem if _is_path(name) else name


def _shipped_directory() -> Path:
    package = Path(__file__).resolve().parents[1]
    installed = package / "_policies"
    return installed if installed.is_dir() else package.parent / "policies"


def _read(path: Path) -> bytes:
    """Return a file's bytes. Raises PolicyInvalidError: unreadable, not regular, too large, or writable by others."""
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
