"""A team's configuration in one signed file, and the directory that holds its versions.

The first line holds a signature over the rest, which is JSON: a version and the text of each file. Versions only go
up, so that nobody brings an older policy back by serving an older file.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from safeconsole.config.loading import checked_table
from safeconsole.errors import ConfigurationError

LARGEST_BYTES = 8 * 1024 * 1024

CONFIGURATION = "config.toml"

_HEAD = b"safeconsole-bundle-1 "
_DOMAIN = b"safeconsole bundle 1\n"
_SUFFIXES = (".toml", ".yaml", ".yml", ".pem")
_NAME = re.compile(r"(?:[0-9A-Za-z_][0-9A-Za-z_.-]*/)?[0-9A-Za-z_][0-9A-Za-z_.-]*")
_CURRENT = "current"
_STATE = "bundle.json"
_KEPT_VERSIONS = 3
"""A console that is open reads the policy of the version that it was opened with."""


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The configuration and files that a team distributes.

    Attributes:
        version: > 0; a higher one replaces a lower one.
        files: texts by name: `config.toml`, and what it names beside it (`policies/payments.yaml`, `ca.pem`).
    """

    version: int
    files: dict[str, str]


class KeptBundle(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a bundle directory.

    Attributes:
        version: 0 before the first.
        key: the public key that is pinned there, 64 hexadecimal digits, or "".
        source: where the last one came from, or "".
    """

    version: int = 0
    key: str = ""
    source: str = ""


def signed_message(payload: bytes) -> bytes:
    """Return the message that is signed."""
    return _DOMAIN + payload


def sealed(payload: bytes, signature: str) -> bytes:
    """Return the file of a payload and the signature over its `signed_message`."""
    return _HEAD + signature.encode("ascii") + b"\n" + payload


def unsealed(data: bytes) -> tuple[bytes, str]:
    """Return payload and signature of a file. Raises ConfigurationError: it is none."""
    head, _, payload = data.partition(b"\n")
    signature = head.removeprefix(_HEAD)
    if not head.startswith(_HEAD) or not re.fullmatch(rb"[0-9a-f]{128}", signature):
        raise ConfigurationError("it is not a bundle of safeconsole", instead="safeconsole config bundle makes one")
    return payload, signature.decode("ascii")


def bundle_in(payload: bytes) -> Bundle:
    """Return the bundle in a signed payload. Raises ConfigurationError: it is invalid."""
    try:
        bundle = msgspec.json.decode(payload, type=Bundle)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the bundle cannot be read: {error}") from None
    if bundle.version < 1:
        raise ConfigurationError(f"the bundle's version is {bundle.version}, and the first one is 1")
    for name in bundle.files:
        if not _NAME.fullmatch(name) or not name.endswith(_SUFFIXES):
            raise ConfigurationError(f"the bundle holds {name[:80]!r}, which is no name of a configuration or policy")
    if CONFIGURATION not in bundle.files:
        raise ConfigurationError(f"the bundle holds no {CONFIGURATION}")
    return bundle


def gathered(directory: Path, version: int) -> bytes:
    """Return the payload of a directory: its configuration, and the policies and certificates one level below.

    Raises:
        ConfigurationError: a file cannot be read, or they are no valid bundle.
    """
    files = {}
    for path in sorted((*directory.iterdir(), *directory.glob("*/*"))):
        name = path.relative_to(directory).as_posix()
        if path.suffix in _SUFFIXES and path.is_file() and not path.is_symlink():
            try:
                files[name] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(f"{path} cannot be read: {error}") from None
    payload = msgspec.json.encode(Bundle(version=version, files=files))
    bundle_in(payload)
    return payload


class BundleShelf:
    """A directory of bundle versions.

    Args:
        directory: made with the first one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def configuration(self) -> Path:
        """The configuration file of the active version; it may not exist."""
        return self._directory / _CURRENT / CONFIGURATION

    def kept(self) -> KeptBundle:
        """Return its state. Raises ConfigurationError: it cannot be read."""
        path = self._directory / _STATE
        try:
            return msgspec.json.decode(path.read_bytes(), type=KeptBundle)
        except FileNotFoundError:
            return KeptBundle()
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigurationError(f"{path} cannot be read: {error}") from None

    def texts(self) -> Mapping[str, str]:
        """Return the files of the active version, none before the first."""
        current = self._directory / _CURRENT
        found = (path for path in sorted((*current.glob("*"), *current.glob("*/*"))) if path.is_file())
        return {path.relative_to(current).as_posix(): path.read_text(encoding="utf-8") for path in found}

    def stage(self, bundle: Bundle) -> Path:
        """Write a bundle beside the active one, and return its directory. Raises ConfigurationError, OSError."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        staged = Path(tempfile.mkdtemp(dir=self._directory, prefix=".staged-"))
        try:
            for name, text in bundle.files.items():
                path = staged / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
            staged.chmod(0o755)
            # What it would say is checked where it will say it from, before anybody reads it.
            checked_table((staged / CONFIGURATION).read_bytes(), staged / CONFIGURATION)
        except BaseException:
            shutil.rmtree(staged)
            raise
        return staged

    def put_in_force(self, staged: Path, state: KeptBundle) -> None:
        """Activate the staged version atomically. Raises OSError."""
        version = self._directory / f"v{state.version}"
        if version.exists():
            shutil.rmtree(version)
        staged.rename(version)
        self._point_to(state)

    def put_back(self, state: KeptBundle) -> None:
        """Return to an earlier state whose version is still stored. Raises OSError."""
        self._point_to(state)

    def forget_old(self) -> None:
        """Remove all but the last few versions."""
        kept = sorted(self._directory.glob("v*"), key=lambda path: int(path.name[1:]))
        for old in kept[:-_KEPT_VERSIONS]:
            shutil.rmtree(old, ignore_errors=True)

    def _point_to(self, state: KeptBundle) -> None:
        current = self._directory / _CURRENT
        if state.version:
            link = self._directory / f".{_CURRENT}-{os.getpid()}"
            with suppress(FileNotFoundError):
                link.unlink()
            link.symlink_to(f"v{state.version}")
            # The version first: after a crash between the two, the same bundle is taken once more.
            link.replace(current)
        else:
            with suppress(FileNotFoundError):
                current.unlink()
        written = self._directory / f".{_STATE}-{os.getpid()}"
        written.write_bytes(msgspec.json.encode(state))
        written.replace(self._directory / _STATE)
