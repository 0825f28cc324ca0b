"""`safeconsole config`: what is configured and by whom, whether it is right, and a team's configuration, signed."""

from __future__ import annotations

import difflib
import json
import re
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from safeconsole.cli.application import Application
from safeconsole.cli.rows import format_option, write_rows
from safeconsole.config.bundle import (
    LARGEST_BYTES,
    Bundle,
    BundleShelf,
    KeptBundle,
    bundle_in,
    gathered,
    sealed,
    signed_message,
    unsealed,
)
from safeconsole.config.loading import SYSTEM_FILE, checked_table, configuration_layers, own_file, team_place
from safeconsole.config.policies import PolicyFiles
from safeconsole.errors import ConfigurationError, SafeConsoleError
from safeconsole.output.text import safe

COLUMNS = ("setting", "value", "from")

FETCH_SECONDS = 30.0

_KEY = re.compile(r"[0-9a-f]{64}")
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]*@")


@click.group()
def config() -> None:
    """Show and check the configuration; pull a team's, signed.

    The system's file wins over the team's, the team's over yours: a person may tighten, and never loosen.
    """


@config.command()
@click.argument("prefix", default="")
@format_option
@click.pass_obj
def show(app: Application, prefix: str, form: str) -> None:
    """Show every setting that is made, its value, and the file that it comes from; those under PREFIX alone."""
    layers = configuration_layers(app.config, app.environ)
    app.settings()
    rows = [row for row in _effective(layers) if row[0].startswith(prefix)]
    if not rows:
        sys.stderr.write("nothing is configured; see the README, or try `safeconsole demo`\n")
        return
    write_rows(COLUMNS, rows, form)


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.pass_obj
def check(app: Application, file: Path | None) -> int:
    """Check the configuration in force, or FILE: its settings, and every policy that it names. Exits 2 on an error."""
    if file is not None:
        app.configure(str(file))
    settings = app.settings()
    troubles = []
    for name, cluster in settings.clusters.items():
        try:
            app.policies.load(cluster.policy)
            if cluster.tls.ca and not Path(cluster.tls.ca).is_file():
                troubles.append(f"clusters.{name}.tls.ca: there is no file {cluster.tls.ca}")
        except SafeConsoleError as error:
            troubles.append(f"clusters.{name}.policy: {error.message}")
    for trouble in troubles:
        sys.stderr.write(f"safeconsole: {safe(trouble)}\n")
    if troubles:
        return 2
    count = len(settings.clusters)
    sys.stderr.write(f"good: {count} {'cluster' if count == 1 else 'clusters'}, every policy loads\n")
    return 0


@config.command()
@click.argument("source", required=False, metavar="URL|PATH")
@click.option(
    "--key", default="", metavar="HEX", help="Public key that must have signed it; pinned with the first pull."
)
@click.option("--system", is_flag=True, help="Keep it under /etc/safeconsole, for everybody on this computer.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.pass_obj
def pull(app: Application, source: str | None, key: str, *, system: bool, dry_run: bool) -> None:
    """Take a team's signed configuration from an https URL or a path, and show what changes.

    Source and key come from `[team]` in the configuration, or from the last pull. A bundle that is not signed by the
    pinned key, or is older than the one in force, is refused.
    """
    shelf = BundleShelf(team_place((SYSTEM_FILE if system else own_file(app.config, app.environ)).parent))
    kept, team = shelf.kept(), app.settings().team
    source, key = source or team.source or kept.source, _pinned(key.lower(), team.key.lower(), kept.key)
    if not source:
        raise ConfigurationError("nothing says where the team's configuration is", instead="give a URL or a path")
    payload, signature = unsealed(_fetched(source))
    _require_signed(payload, signature, key)
    bundle = bundle_in(payload)
    if bundle.version < kept.version:
        raise ConfigurationError(
            f"{source} is version {bundle.version}, and {kept.version} is in force: an older one is not taken",
            instead="give the wanted content a higher version",
        )
    before = shelf.texts()
    if bundle.version == kept.version and before != bundle.files:
        raise ConfigurationError(
            f"{source} has other content than version {kept.version}, which is in force under the same number",
            instead="give it a higher version",
        )
    for line in _changes(before, bundle.files):
        click.echo(safe(line))
    state = KeptBundle(version=bundle.version, key=key, source=source)
    _install(app, shelf, bundle, kept, state, dry_run=dry_run)


@config.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--version", type=click.IntRange(1), required=True, help="Higher than every one before.")
@click.option("--sign", "where", required=True, metavar="FILE|keyring", help="The team's private key.")
@click.option("--output", type=click.Path(path_type=Path), required=True, metavar="FILE")
def bundle(directory: Path, version: int, where: str, output: Path) -> None:
    """Make a signed bundle of DIRECTORY: its config.toml, and the policies and certificates beside it.

    `safeconsole audit new-key FILE` makes a key. People pin its public half with `config pull --key`.
    """
    from safeconsole.audit.signing import load_signer

    payload = gathered(directory, version)
    checked_table((directory / "config.toml").read_bytes(), directory / "config.toml")
    signer = load_signer(where, what="bundle key")
    output.write_bytes(sealed(payload, signer.sign(signed_message(payload))))
    sys.stderr.write(f"wrote version {version} to {output}, signed by {signer.public}\n")


def _effective(layers: Sequence[tuple[Path, Mapping[str, object]]]) -> Iterator[tuple[str, str, str]]:
    """Yield each setting that is made with the file that it comes from: the first one that says it."""
    said: dict[str, tuple[str, str]] = {}
    for file, table in layers:
        for name, value in _leaves(table):
            text = _USER_IN_URL.sub("…@", json.dumps(value, ensure_ascii=False))
            # A limit of each file holds, and the tighter one is in force.
            if name.startswith("limits.") and name in said and isinstance(value, int | float):
                if value < float(said[name][0]):
                    said[name] = text, str(file)
                continue
            said.setdefault(name, (text, str(file)))
    for name in sorted(said):
        yield name, *said[name]


def _leaves(table: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        bare = key if re.fullmatch(r"[\w-]+", key) else json.dumps(key)
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{bare}.")
        else:
            yield f"{above}{bare}", value


def _pinned(given: str, configured: str, kept: str) -> str:
    """Return the key that must have signed. Raises ConfigurationError: there is none, or they differ."""
    known = configured or kept
    if given and known and given != known:
        raise ConfigurationError(
            f"--key is not the pinned key {known}",
            instead="the team's new key is pinned by whoever sets [team] key, or by removing the team directory",
        )
    key = known or given
    if not _KEY.fullmatch(key):
        raise ConfigurationError(
            f"the key is {'missing' if not key else 'not of 64 hexadecimal digits'}",
            instead="give --key with the team's public key, which whoever signs can tell you",
        )
    return key


def _require_signed(payload: bytes, signature: str, key: str) -> None:
    from safeconsole.audit.signing import fingerprint, is_signed_by

    if not is_signed_by(key, fingerprint(key), signed_message(payload), signature):
        raise ConfigurationError(f"the bundle is not signed by the pinned key {key}; nothing was changed")


def _fetched(source: str) -> bytes:
    """Return the bytes of a source. Raises ConfigurationError."""
    if "://" not in source:
        try:
            data = Path(source).expanduser().read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{source} cannot be read: {(error.strerror or '').lower()}") from None
    else:
        if not source.lower().startswith("https://"):
            raise ConfigurationError(f"{source} is not an https URL")
        try:
            with urllib.request.build_opener(_HttpsOnly).open(source, timeout=FETCH_SECONDS) as answer:
                data = answer.read(LARGEST_BYTES + 1)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise ConfigurationError(f"{source} cannot be fetched: {getattr(error, 'reason', error)}") from None
    if len(data) > LARGEST_BYTES:
        raise ConfigurationError(f"{source} is larger than {LARGEST_BYTES} bytes")
    return data


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:  # noqa: ANN401 (as the class it extends)
        newurl = str(arguments[-1])
        if not newurl.lower().startswith("https://"):
            raise urllib.error.URLError("it redirects to an address that is not https")
        return super().redirect_request(*arguments)


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        old, new = before.get(name, "").splitlines(), after.get(name, "").splitlines()
        yield from difflib.unified_diff(old, new, f"before/{name}", f"after/{name}", lineterm="", n=1)


def _install(
    app: Application, shelf: BundleShelf, found: Bundle, before: KeptBundle, state: KeptBundle, *, dry_run: bool
) -> None:
    if found.files == shelf.texts():
        sys.stderr.write(f"version {found.version} is in force already\n")
        return
    staged = shelf.stage(found)
    try:
        for name in found.files:
            if name.endswith((".yaml", ".yml")) and ".cases." not in name:
                PolicyFiles().load(str(staged / name))
        if dry_run:
            shutil.rmtree(staged)
            sys.stderr.write(f"version {found.version} would be put in force\n")
            return
        shelf.put_in_force(staged, state)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    app.configure(app.config)
    try:
        app.settings()
    except ConfigurationError as error:
        # Nothing would start any more: what is in force stays, until the two agree.
        shelf.put_back(before)
        raise ConfigurationError(
            f"version {found.version} was not taken: {error.message}", evidence=error.evidence, instead=error.instead
        ) from None
    shelf.forget_old()
    sys.stderr.write(f"version {found.version} is in force, in {shelf.configuration.parent}\n")
