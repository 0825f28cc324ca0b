"""Passwords from the keyring, a command, the environment, or an AWS IAM token, in the configured order.

No message, error or log line contains a password or the output of a source.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from safeconsole.config.settings import ClusterSettings, SecretSettings, variable_for
from safeconsole.errors import ConfigurationError

COMMAND_SECONDS = 10.0
"""Timeout of a secret command."""

RENEWED_AT = 0.8
"""The part of a lease after which another secret is asked for, and connections of the first are not used again."""

_NO_BACKEND = "no keyring backend"


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """The secret of one login; never shown.

    Attributes:
        account: the login name: the account's that was asked for, or one that was made for this login.
        renew_seconds, ends_seconds: monotonic readings: another is asked for from the first on, and nobody logs in
            with this one from the second on; infinite where its source names no end.
    """

    account: str
    password: str
    renew_seconds: float = math.inf
    ends_seconds: float = math.inf

    @property
    def is_leased(self) -> bool:
        return not math.isinf(self.ends_seconds)

    def __repr__(self) -> str:
        return f"Secret({self.account})"


class LocalSecrets:
    """The passwords of clusters; nothing is kept between calls."""

    def __init__(self, clusters: Mapping[str, ClusterSettings], environ: Mapping[str, str]) -> None:
        self._clusters = clusters
        self._environ = environ

    def secret(self, cluster: str, account: str, node: str = "") -> Secret:
        cluster_settings = self._clusters.get(cluster)
        if cluster_settings is None:
            raise ConfigurationError(f"cluster {cluster} is not in the configuration")
        sources: dict[str, Callable[[], tuple[str | Secret | None, str]]] = {
            "keyring": lambda: from_keyring(cluster, account),
            "command": lambda: _from_command(cluster_settings.secrets, cluster, account),
            "env": lambda: _from_environment(self._environ, cluster, account),
            "aws-iam": lambda: _from_aws_iam(node or next(iter(cluster_settings.nodes), ""), account),
        }
        tried = []
        for source in cluster_settings.secrets.sources:
            found, why = sources[source]()
            if found is not None:
                return Secret(account=account, password=found) if isinstance(found, str) else found
            tried.append(f"{source}: {why}")
        raise ConfigurationError(
            f"there is no password for account {account} of cluster {cluster}",
            evidence=tuple(tried) or ("clusters.*.secrets.sources is empty",),
            instead=_way_out(
                cluster_settings.secrets.sources, cluster, account, no_keyring=_NO_BACKEND in " ".join(tried)
            ),
        )


def from_keyring(cluster: str, account: str) -> tuple[str | None, str]:
    """Return the keyring's password, or None and why there is none."""
    # Imported here: it costs about 0.1 s, and most starts have another source.
    import keyring  # noqa: PLC0415
    from keyring.errors import KeyringError  # noqa: PLC0415

    from safeconsole.config.credentials import backend_trouble, service_for  # noqa: PLC0415

    trouble = backend_trouble()
    if trouble:
        return None, trouble
    try:
        found = keyring.get_password(service_for(cluster), account)
    except KeyringError as error:
        return None, f"the keyring cannot be read ({type(error).__name__})"
    return found, "" if found is not None else "nothing stored"


def _from_command(settings: SecretSettings, cluster: str, account: str) -> tuple[str | Secret | None, str]:
    if not settings.command:
        return None, "clusters.*.secrets.command is empty"
    # Imported here, as for the keyring: other sources start no program.
    import subprocess  # noqa: PLC0415

    arguments = [part.replace("{cluster}", cluster).replace("{account}", account) for part in settings.command]
    try:
        ended = subprocess.run(
            arguments, capture_output=True, stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"{arguments[0]} did not answer within {COMMAND_SECONDS:g} s"
    except OSError as error:
        return None, f"{arguments[0]} cannot be started: {(error.strerror or 'unknown error').lower()}"
    except ValueError:
        return None, f"{arguments[0]} cannot be started: an argument holds a null byte"
    if ended.returncode != 0:
        return None, f"{arguments[0]} exited with {ended.returncode}"
    if settings.command_prints == "json":
        return _told_secret(ended.stdout, account, arguments[0])
    line = ended.stdout.partition(b"\n")[0].rstrip(b"\r")
    try:
        return (line.decode() or None), f"{arguments[0]} printed an empty line"
    except UnicodeDecodeError:
        return None, f"{arguments[0]} printed a line that is not utf-8"


def _told_secret(printed: bytes, account: str, program: str) -> tuple[Secret | None, str]:
    # No error of the decoder is shown: it may quote what it was given.
    try:
        told: Any = msgspec.json.decode(printed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, f"{program} printed no JSON"
    inner = told.get("data") if isinstance(told, dict) else None
    fields = {**told, **(inner if isinstance(inner, dict) else {})} if isinstance(told, dict) else {}
    password, username, lease = fields.get("password"), fields.get("username"), fields.get("lease_duration")
    if not isinstance(password, str) or not password:
        return None, f"{program} printed an object without a password"
    if username is not None and (not isinstance(username, str) or not username):
        return None, f"{program} printed a username that is no text"
    if lease is not None and (isinstance(lease, bool) or not isinstance(lease, int | float) or not lease >= 0):
        return None, f"{program} printed a lease_duration that is no number of seconds"
    # Vault prints 0 for a secret without a lease.
    asked, lease_seconds = time.monotonic(), float(lease or math.inf)
    return Secret(
        account=username or account,
        password=password,
        renew_seconds=asked + RENEWED_AT * lease_seconds,
        ends_seconds=asked + lease_seconds,
    ), ""


def _from_environment(environ: Mapping[str, str], cluster: str, account: str) -> tuple[str | None, str]:
    variable = variable_for(cluster, account)
    return environ.get(variable), f"{variable} is not set"


def _from_aws_iam(node: str, account: str) -> tuple[str | None, str]:
    try:
        import logging  # noqa: PLC0415

        import boto3  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415
    except ImportError:
        return None, "the aws extra is not installed (pipx inject safeconsole boto3)"
    from botocore.exceptions import (  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415
        BotoCoreError,
        ClientError,
    )

    # At its lowest level the library logs the signature, which is the secret of the token.
    logging.getLogger("botocore.auth").setLevel(logging.INFO)
    host, _, port = node.rpartition(":") if ":" in node else (node, "", "")
    try:
        session = boto3.session.Session()
        client = session.client("rds", region_name=region_in(host) or session.region_name)
        token = client.generate_db_auth_token(DBHostname=host, Port=int(port or 3306), DBUsername=account)
    except (BotoCoreError, ClientError, ValueError) as error:
        return None, f"aws gave no token ({type(error).__name__})"
    return str(token), ""


def region_in(host: str) -> str:
    """Return the AWS region in an RDS host name ("x.abc.eu-west-1.rds.amazonaws.com"), or ""."""
    found = re.search(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.rds\.amazonaws\.com(?:\.cn)?$", host)
    return found.group(1) if found else ""


def _way_out(sources: tuple[str, ...], cluster: str, account: str, *, no_keyring: bool) -> str:
    ways = {
        "keyring": f"safeconsole credentials set {cluster} {account}",
        "env": f"set {variable_for(cluster, account)}",
        "command": f"let clusters.{cluster}.secrets.command print it",
        "aws-iam": "install the aws extra, log in to aws, and set AWS_DEFAULT_REGION if no host name tells it",
    }
    if no_keyring:
        del ways["keyring"]
    offered = [ways[source] for source in sources if source in ways]
    if offered:
        return ", or ".join(offered)
    return f"add a source to clusters.{cluster}.secrets.sources ({', '.join(ways)})"


class Secrets(Protocol):
    def secret(self, cluster: str, account: str, node: str = "") -> Secret:
        """Return the secret of an account.

        Args:
            node: the address, where a source makes one for each node; "" for the first configured.

        Raises:
            ConfigurationError: no source has one; the message names the sources tried and the command to set it.
        """
        ...
