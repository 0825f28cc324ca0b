"""Fetches a package from the package archives that the machine is configured for, without root.

apt runs with its own lists, cache and empty package status, so nothing on the machine changes; signatures are verified
with the distribution's keyring.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

_APT_SECONDS = 900.0
_APT_DIRECTORY = Path("/etc/apt")
_KEYRINGS = Path("/usr/share/keyrings")
# A source may follow a moving name instead of the release it currently means.
_MOVING_SUITES = frozenset({"stable", "testing", "unstable", "sid"})
_COMPONENTS = frozenset({"main", "universe"})
# Only libraries are needed to run a daemon; perl comes along for wrapper scripts.
_LIBRARY = re.compile(r"(lib|zlib)(?!perl|gdbm|c-gconv)")


class ArchiveError(Exception):
    """The package archives cannot provide a package."""


class PackageArchive(msgspec.Struct, frozen=True, kw_only=True):
    """One configured package archive.

    Attributes:
        suite: the release as the source names it, e.g. a code name.
        components: the configured ones that belong to the distribution.
    """

    uri: str
    suite: str
    components: tuple[str, ...]


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution of this machine, "debian", "ubuntu", …, and its release's code name, or "".

    Source: os-release(5), ID and VERSION_CODENAME.
    """

    identifier: str
    codename: str


def read_distribution(path: Path = Path("/etc/os-release")) -> Distribution:
    """Return the machine's distribution; unknown fields are empty."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, flags=re.MULTILINE))
    return Distribution(identifier=fields.get("ID", ""), codename=fields.get("VERSION_CODENAME", ""))


def machine_archives(distribution: Distribution, directory: Path = _APT_DIRECTORY) -> tuple[PackageArchive, ...]:
    """Return the configured archives with the distribution's own release.

    Third-party archives use another suite or component; any other is refused later, since only the distribution's
    keyring is accepted.
    """
    wanted = _MOVING_SUITES | {distribution.codename}
    files = [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*"))]
    found: dict[str, PackageArchive] = {}
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        read = _read_paragraphs if file.suffix == ".sources" else _read_lines
        if file.suffix not in {".sources", ".list"}:
            continue
        for archive in read(text):
            if archive.suite in wanted and "main" in archive.components:
                found.setdefault(archive.uri, archive)
    return tuple(found.values())


def _read_lines(text: str) -> Iterator[PackageArchive]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line)
        if match:
            uri, suite, components = match.groups()
            yield PackageArchive(uri=uri, suite=suite, components=_own(components))


def _read_paragraphs(text: str) -> Iterator[PackageArchive]:
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", kept):
        fields = {name.lower(): value for name, value in re.findall(r"^([\w-]+):[ \t]*(.*)$", paragraph, re.MULTILINE)}
        if fields.get("enabled", "yes").strip().lower() in {"no", "false", "0"}:
            continue
        if "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                components = _own(fields.get("components", ""))
                yield PackageArchive(uri=uri, suite=suite, components=components)


def _own(components: str) -> tuple[str, ...]:
    return tuple(name for name in components.split() if name in _COMPONENTS)


def unpack_package(
    packages: tuple[str, ...], *, archive: PackageArchive, keyring_of: str, into: Path, alone: bool = False
) -> str:
    """Unpack the first package the archive has, with the libraries it needs, and return its version.

    Args:
        packages: names to try, best first.
        keyring_of: distribution whose archive keyring must have signed the index.
        into: an empty directory; gets `tree/` and, while running, `apt/`.
        alone: without the libraries.

    Raises:
        ArchiveError: apt is missing, the archive is unreachable, its signature is invalid, or it has none of the
            packages.
    """
    apt = into / "apt"
    _lay_out_private_apt(apt, archive, keyring_of)
    _apt(apt, "update")
    closure = _first_closure(apt, packages)
    package, version = closure[-1]
    wanted = [
        f"{name}={release}" for name, release in closure if name == package or (_LIBRARY.match(name) and not alone)
    ]
    _apt(apt, "download", *wanted)
    tree = into / "tree"
    tree.mkdir()
    for file in sorted((apt / "packages").glob("*.deb")):
        _run(("dpkg", "-x", str(file), str(tree)), directory=apt, configuration=None)
    shutil.rmtree(apt)
    for unneeded in ("doc", "man", "lintian", "locale"):
        shutil.rmtree(tree / "usr/share" / unneeded, ignore_errors=True)
    return version


def _first_closure(apt: Path, packages: tuple[str, ...]) -> list[tuple[str, str]]:
    reason = "no package was named"
    for package in packages:
        try:
            plan = _apt(apt, "--simulate", "install", package)
        except ArchiveError as error:
            reason = str(error)
            continue
        found = re.findall(r"^Inst (\S+) \((\S+)", plan, flags=re.MULTILINE)
        return sorted(found, key=lambda pair: pair[0] == package)
    raise ArchiveError(reason)


def _lay_out_private_apt(apt: Path, archive: PackageArchive, keyring_of: str) -> None:
    for directory in ("lists/partial", "archives/partial", "packages"):
        (apt / directory).mkdir(parents=True)
    (apt / "status").touch()
    components = " ".join(archive.components)
    source = f"deb {_signed_by(keyring_of)}{archive.uri} {archive.suite} {components}\n"
    (apt / "sources.list").write_text(source, encoding="utf-8")
    lines = (
        # Hooks of the machine would act on its own lists and archives.
        "#clear APT::Update::Pre-Invoke;",
        "#clear APT::Update::Post-Invoke;",
        "#clear APT::Update::Post-Invoke-Success;",
        f'Dir::State "{apt}";',
        f'Dir::State::lists "{apt}/lists";',
        f'Dir::State::status "{apt}/status";',
        f'Dir::Cache "{apt}";',
        f'Dir::Cache::archives "{apt}/archives";',
        f'Dir::Etc::sourcelist "{apt}/sources.list";',
        'Dir::Etc::sourceparts "/dev/null";',
        'Dir::Etc::preferences "/dev/null";',
        'Dir::Etc::preferencesparts "/dev/null";',
        'APT::Install-Recommends "false";',
        # The download user of apt may not enter a private directory of ours.
        'APT::Sandbox::User "";',
        'Acquire::Languages "none";',
        'Acquire::Retries "3";',
    )
    (apt / "apt.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _signed_by(distribution: str) -> str:
    for suffix in ("pgp", "gpg"):
        keyring = _KEYRINGS / f"{distribution}-archive-keyring.{suffix}"
        if keyring.exists():
            return f"[signed-by={keyring}] "
    # Without the option apt still verifies, against the keys it trusts globally.
    return ""


def _apt(apt: Path, *arguments: str) -> str:
    return _run(
        ("apt-get", "--yes", "--quiet", *arguments),
        directory=apt / "packages",
        configuration=apt / "apt.conf",
    )


def _run(command: tuple[str, ...], *, directory: Path, configuration: Path | None) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    if configuration is not None:
        environment["APT_CONFIG"] = str(configuration)
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_APT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ArchiveError(f"{command[0]} did not run: {error}") from error
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise ArchiveError(f"{' '.join(command[:5])}: {complaint[-1]}")
    return done.stdout
