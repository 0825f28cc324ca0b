"""Finds or fetches `mariadbd` and `mysqld`, without root and without containers.

Searched in this order: the environment, the search path, a cache outside the project, and the package archives this
machine is configured for. A fetched server runs with the loader and libraries unpacked with it, so its release may
differ from the machine's.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from safeconsole.demo import archives

Flavour = Literal["mariadb", "mysql"]
FLAVOURS: Final[tuple[Flavour, ...]] = ("mariadb", "mysql")

_ENVIRONMENT = {"mariadb": "SAFECONSOLE_MARIADBD", "mysql": "SAFECONSOLE_MYSQLD"}
_DAEMONS = {"mariadb": ("mariadbd", "mysqld"), "mysql": ("mysqld",)}
_PACKAGES = {
    "mariadb": ("mariadb-server-core",),
    "mysql": ("mysql-server-core", "mysql-server-core-8.4", "mysql-server-core-8.0"),
}
RELEASES: dict[tuple[Flavour, str], tuple[str, tuple[str, ...]]] = {
    ("mariadb", "10.5"): ("bullseye", ("mariadb-server-core-10.5",)),
    ("mariadb", "10.11"): ("bookworm", ("mariadb-server-core",)),
    ("mariadb", "11.8"): ("trixie", ("mariadb-server-core",)),
}
"""Releases that can be asked for by number: the suite of Debian's archive, and the packages to try there."""

_SYSTEM_DIRECTORIES = ("/usr/sbin", "/usr/local/sbin")
_VERSION_SECONDS = 30.0


class ServersUnavailableError(Exception):
    """A server binary can neither be found nor fetched.

    Attributes:
        reason: what was tried and how it failed.
        how_to_get: what a person can do about it.
    """

    def __init__(self, reason: str, how_to_get: str) -> None:
        super().__init__(f"{reason}; {how_to_get}")
        self.reason = reason
        self.how_to_get = how_to_get


class ServerBinaries(msgspec.Struct, frozen=True, kw_only=True):
    """An installed server.

    Attributes:
        version: as the daemon prints it, e.g. "9.7.4-2".
        command: words that run the daemon, to be followed by its options.
        base_directory: value of `--basedir`.
        share_directory: character sets and messages; None: compiled-in place.
        plugin_directory: None: compiled-in place.
    """

    flavour: Flavour
    version: str
    command: tuple[str, ...]
    base_directory: Path
    share_directory: Path | None
    plugin_directory: Path | None


def servers_directory() -> Path:
    """Return the cache for binaries and prepared data directories, outside the project."""
    chosen = os.environ.get("SAFECONSOLE_SERVERS_DIR")
    if chosen:
        return Path(chosen).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "safeconsole" / "servers"


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold a lock file against every other process; the system frees it if we die."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


_SAYS_MARIADB: Final[Mapping[Flavour, bool]] = {"mysql": False, "mariadb": True}
_DEBIAN_SUITES: Final[Mapping[Flavour, str]] = {"mysql": "sid"}


def find_server(flavour: Flavour, release: str = "") -> ServerBinaries | None:
    """Return a server on this machine, or None. Raises ServersUnavailableError: the environment names a broken one."""
    if release:
        return _from_cache(flavour, release)
    named = os.environ.get(_ENVIRONMENT[flavour])
    if named:
        found = _from_executable(flavour, Path(named))
        if found is None:
            reason = f"{_ENVIRONMENT[flavour]}={named} is not a {flavour} daemon that runs here"
            raise ServersUnavailableError(reason, _how_to_get(flavour))
        return found
    search = os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_DIRECTORIES))
    for name in _DAEMONS[flavour]:
        executable = shutil.which(name, path=search)
        found = _from_executable(flavour, Path(executable)) if executable else None
        if found is not None:
            return found
    return _from_cache(flavour)


def release_wanted(flavour: Flavour) -> str:
    """Return the release that the environment asks for (`SAFECONSOLE_MARIADB_RELEASE`), or ""."""
    return os.environ.get(f"SAFECONSOLE_{flavour.upper()}_RELEASE", "")


def provide_server(flavour: Flavour, release: str = "") -> ServerBinaries:
    """Return a server, fetched into the cache if needed. Raises ServersUnavailableError."""
    release = release or release_wanted(flavour)
    if release and (flavour, release) not in RELEASES:
        known = ", ".join(each for of, each in RELEASES if of == flavour) or "none by number"
        raise ServersUnavailableError(f"{flavour} {release} is in no archive known here", f"known releases: {known}")
    found = find_server(flavour, release)
    if found is not None:
        return found
    directory = servers_directory()
    try:
        with exclusive(directory / f"{flavour}.lock"):
            found = _from_cache(flavour, release)
            if found is None:
                _fetch(flavour, directory, release)
                found = _from_cache(flavour, release)
    except (OSError, archives.ArchiveError) as error:
        raise ServersUnavailableError(f"no {flavour} server: {error}", _how_to_get(flavour)) from error
    if found is None:
        reason = f"the fetched {flavour} server does not run on this machine"
        raise ServersUnavailableError(reason, _how_to_get(flavour))
    return found


def _how_to_get(flavour: Flavour) -> str:
    return (
        f"install {_PACKAGES[flavour][0]}, or set {_ENVIRONMENT[flavour]} to its daemon, "
        "or run `make servers` where this machine's package archive can be reached"
    )


def _cached_name(flavour: Flavour, release: str) -> str:
    """Return how the directory of a fetched server begins; a release by number is never taken for the machine's own."""
    return f"{flavour}@{release}-" if release else f"{flavour}-"


def _fetch(flavour: Flavour, directory: Path, release: str) -> None:
    distribution = archives.read_distribution()
    candidates = archives.machine_archives(distribution)
    if not candidates:
        raise archives.ArchiveError("this machine has no package archive of its own release")
    for leftover in directory.glob(f".partial-{flavour}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    failures: list[str] = []
    for archive in candidates:
        _say(f"fetching {flavour}{f' {release}' if release else ''} from this machine's package archive")
        partial = Path(tempfile.mkdtemp(prefix=f".partial-{flavour}-", dir=directory))
        try:
            suite, packages = RELEASES.get((flavour, release), ("", _PACKAGES[flavour]))
            version = archives.unpack_package(
                packages,
                archive=_archive_with(flavour, archive, distribution, suite),
                keyring_of=distribution.identifier,
                into=partial,
            )
            (partial / "tree").rename(directory / f"{_cached_name(flavour, release)}{version.replace(':', '_')}")
        except archives.ArchiveError as error:
            failures.append(str(error))
        else:
            return
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    raise archives.ArchiveError("; ".join(failures))


def _archive_with(
    flavour: Flavour, archive: archives.PackageArchive, distribution: archives.Distribution, suite: str
) -> archives.PackageArchive:
    if distribution.identifier == "debian":
        suite = suite or _DEBIAN_SUITES.get(flavour, "")
        return archives.PackageArchive(uri=archive.uri, suite=suite, components=("main",)) if suite else archive
    return archive


def _from_cache(flavour: Flavour, release: str = "") -> ServerBinaries | None:
    trees = sorted(
        (path for path in servers_directory().glob(f"{_cached_name(flavour, release)}*") if path.is_dir()),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for tree in trees:
        loaders = sorted(tree.glob("**/ld-linux*.so.*"))
        daemons = [tree / "usr/sbin" / name for name in _DAEMONS[flavour]]
        daemon = next((path for path in daemons if path.exists()), None)
        if daemon is None or not loaders:
            continue
        roots = (tree / "usr" / "lib", tree / "lib")
        libraries = [str(path) for root in roots for path in root.glob("*-linux-gnu*")]
        command = (str(loaders[0]), "--library-path", ":".join(libraries), str(daemon))
        found = _from_command(flavour, command, tree / "usr")
        if found is not None:
            return found
    return None


def _from_executable(flavour: Flavour, executable: Path) -> ServerBinaries | None:
    return _from_command(flavour, (str(executable),), executable.resolve().parent.parent)


def _from_command(flavour: Flavour, command: tuple[str, ...], base_directory: Path) -> ServerBinaries | None:
    try:
        done = subprocess.run(
            (*command, "--no-defaults", "--version"),
            capture_output=True,
            text=True,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"Ver (\S+)", done.stdout)
    # A `mysqld` on the search path is often MariaDB under its old name.
    if version is None or ("MariaDB" in done.stdout) != _SAYS_MARIADB[flavour]:
        return None
    shares = (base_directory / "share" / name for name in ("mysql", "mariadb", "."))
    plugins = base_directory / "lib" / "mysql" / "plugin"
    return ServerBinaries(
        flavour=flavour,
        version=version.group(1),
        command=command,
        base_directory=base_directory,
        share_directory=next((path for path in shares if (path / "charsets").is_dir()), None),
        plugin_directory=plugins if plugins.is_dir() else None,
    )


def _say(text: str) -> None:
    sys.stderr.write(f"servers: {text}\n")


def main(arguments: Sequence[str]) -> int:
    """Provide the named flavours, or both; return the exit code."""
    wanted = [flavour for flavour in FLAVOURS if not arguments or flavour in arguments]
    if unknown := set(arguments) - set(FLAVOURS):
        _say(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(FLAVOURS)}")
        return 2
    code = 0
    for flavour in wanted:
        try:
            binaries = provide_server(flavour)
        except ServersUnavailableError as error:
            _say(f"NO {flavour.upper()}: {error}")
            code = 1
        else:
            sys.stdout.write(f"{flavour} {binaries.version} {binaries.command[-1]}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
