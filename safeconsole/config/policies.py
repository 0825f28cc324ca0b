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
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from safeconsole.errors import ConfigurationError, PolicyInvalidError
from safeconsole.patterns import late
from safeconsole.policy.document import extended, literals_loosened, loosened, policy_from_document, require_structure
from safeconsole.policy.policy import Policy, capped
from safeconsole.policy.rules import Rule

if TYPE_CHECKING:
    from safeconsole.policy.cases import Case

LARGEST_FILE_BYTES = 1024 * 1024
"""A policy of this size would have thousands of rules."""


_RULE_PLACE = late(r"rules\[(\d+)\]")

READ_SUFFIX = ".read.json"
LONGEST_CHAIN = 4
"""Policies that one may extend, itself included."""

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


_KEPT = 16
"""Most policies and texts that a process keeps: a file that is edited again and again must not fill it."""

_Key = TypeVar("_Key")
_Kept = TypeVar("_Kept")


def _keep(kept: dict[_Key, _Kept], key: _Key, value: _Kept) -> None:
    # Sessions of several threads share it: the worst that a race does is to compile once more.
    if len(kept) >= _KEPT:
        kept.clear()
    kept[key] = value


class PolicyFiles:
    """Finds and reads policies and their cases.

    Args:
        shipped: the directory of the shipped policies; None finds it.
    """

    def __init__(self, shipped: Path | None = None) -> None:
        self._shipped = _shipped_directory() if shipped is None else shipped
        # A process that serves many sessions compiles a policy once, and again when a file's text is another one.
        self._compiled: dict[tuple[tuple[Path, str], ...], Policy] = {}
        self._forms: dict[tuple[Path, str], ReadForm] = {}

    def names(self) -> tuple[str, ...]:
        found = (path.name.removesuffix(".yaml") for path in self._shipped.glob("*.yaml"))
        return tuple(sorted(name for name in found if not name.endswith(".cases")))

    def load(self, name: str) -> Policy:
        """Return a policy by a shipped name or a path.

        Raises:
            ConfigurationError: there is no such policy.
            PolicyInvalidError: its file cannot be read, may be written by others, or is invalid.
        """
        chain = self._chain(name)
        key = tuple((path, self._form(path).text_hash) for path in chain)
        policy = self._compiled.get(key)
        if policy is None:
            policy = self._policy(chain)
            _keep(self._compiled, key, policy)
        return policy

    def _policy(self, chain: tuple[Path, ...]) -> Policy:
        """Return the policy that the first file of a chain makes of those that it extends."""
        path, *bases = chain
        own = self._form(path)
        if not bases:
            return policy_from_document(
                path.stem, own.document, source=str(path), text_hash=own.text_hash, lines=own.lines
            )
        base = self._policy(tuple(bases))
        require_structure(own.document, source=str(path), lines=own.lines)
        digest = hashlib.sha256(f"{base.hash}\n{own.text_hash}".encode()).hexdigest()
        merged = self._merged(chain)
        policy = policy_from_document(
            path.stem, merged.document, source=str(path), text_hash=digest, lines=merged.lines
        )
        looser = dict(loosened(base, policy))
        if literals_loosened(self._merged(tuple(bases)).document, merged.document):
            looser["literals"] = "the journal keeps more of them"
        forbidden = [
            f"{path}: {name} is looser: {how}" for name, how in looser.items() if name not in base.may_be_loosened
        ]
        if forbidden:
            raise PolicyInvalidError(
                forbidden[0],
                evidence=tuple(forbidden[1:]),
                instead=f"tighten it, or let {bases[0]} list it in `may_be_loosened`",
            )
        return msgspec.structs.replace(
            policy,
            extends=base.name,
            rules=(*_taken_over(base), *policy.rules[len(base.rules) :]),
            inherited=frozenset() if "rules" in base.may_be_loosened else frozenset(rule.id for rule in base.rules),
            may_be_loosened=policy.may_be_loosened & base.may_be_loosened,
            own_masks=frozenset(own.document.get("masked", {})),
            loosens=tuple(f"{name}: {how}" for name, how in looser.items()),
        )

    def _merged(self, chain: tuple[Path, ...]) -> ReadForm:
        path, *bases = chain
        own = self._form(path)
        if not bases:
            return own
        base = self._merged(tuple(bases))
        before = len(base.document.get("rules", ()))
        lines = {place: line for place, line in base.lines.items() if place.startswith("rules[")}
        for place, line in own.lines.items():
            found = _RULE_PLACE.match(place)
            lines[place if found is None else f"rules[{int(found[1]) + before}]{place[found.end() :]}"] = line
        return ReadForm(text_hash="", document=extended(base.document, own.document), lines=lines)

    def _form(self, path: Path) -> ReadForm:
        text = _read(path)
        digest = hashlib.sha256(text).hexdigest()
        form = self._forms.get((path, digest))
        if form is None:
            form = self._read_form(path, digest) or read_form_of(text, str(path))
            _keep(self._forms, (path, digest), form)
        if _base_of(form.document) and "rules" not in form.document:
            return msgspec.structs.replace(form, document={**form.document, "rules": []})
        return form

    def _chain(self, name: str) -> tuple[Path, ...]:
        """Return a policy's file and those that it extends, the last one extends none. Raises as `load`."""
        path = self._path(name)
        chain = [path]
        while base := _base_of(self._form(path).document):
            path = self._path(str(path.parent / base) if _is_path(base) and not Path(base).is_absolute() else base)
            if path in chain or len(chain) == LONGEST_CHAIN:
                raise PolicyInvalidError(f"{chain[0]}: `extends` leads through {len(chain)} policies and on to {path}")
            chain.append(path)
        return tuple(chain)

    def rereading(self, name: str, policy: Policy, limits: Mapping[str, float] = NO_LIMITS) -> Callable[[], Policy]:
        """Return a function that returns the file's present policy: the same object while the file is unchanged.

        Args:
            limits: the configuration's, which hold on top of what the file says.
        """
        chain = self._chain(name)
        seen = tuple(map(_state_of, chain))
        if self.load(name).hash != policy.hash:
            seen = ()
        held = policy

        def look() -> Policy:
            nonlocal seen, held, chain
            found = tuple(map(_state_of, chain))
            if found != seen:
                # The state is from before the reading: what changes in between is read again.
                again, chain = self._again(name), self._chain(name)
                held, seen = policy if again.hash == policy.hash else capped(again, limits), found
            return held

        return look

    def _again(self, name: str) -> Policy:
        try:
            return self.load(name)
        except PolicyInvalidError as error:
            message = f"the policy's file has changed and is no longer valid: {error.message}"
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
    """Return the values that change with a file. Raises PolicyInvalidError: it is gone."""
    try:
        status = path.stat()
    except OSError as error:
        raise PolicyInvalidError(f"{path} cannot be read any more: {(error.strerror or '').lower()}") from None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _taken_over(base: Policy) -> tuple[Rule, ...]:
    return tuple(msgspec.structs.replace(rule, policy=rule.policy or base.name) for rule in base.rules)


def _base_of(document: object) -> str:
    found = document.get("extends", "") if isinstance(document, dict) else ""
    return found if isinstance(found, str) else ""


def _is_path(name: str) -> bool:
    return "/" in name or os.sep in name or name.endswith((".yaml", ".yml"))


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
