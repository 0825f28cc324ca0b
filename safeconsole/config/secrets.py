"""Passwords from the keyring, a command, the environment, or an AWS IAM token, in the configured order.

No message, error or log line contains a password or the output of a source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

from safeconsole.config.settings import Settings, variable_for
from safeconsole.errors import ConfigurationError

COMMAND_SECONDS = 10.0
"""Timeout of a secret command."""

_NO_BACKEND = "no keyring backend"


class LocalSecrets:
    """The passwords of one configuration's clusters; nothing is kept between calls."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ

    def password(self, cluster: str, account: str, node: str = "") -> str:
        cluster_settings = self._settings.clusters.get(cluster)
        if cluster_settings is None:
            raise ConfigurationError(f"cluster {cluster} is not in the configuration")
        sources: dict[str, Callable[[], tuple[str | None, str]]] = {
            "keyring": lambda: from_keyring(cluster, account),
            "command": lambda: _from_command(cluster_settings.secrets.command, cluster, account),
            "env": lambda: _from_environment(self._environ, cluster, account),
            "aws-iam": lambda: _from_aws_iam(node or next(iter(cluster_settings.nodes), ""), account),
        }
        tried = []
        for source in cluster_settings.secrets.sources:
            password, why = sources[source]()
            if password is not None:
                return password
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


def _from_command(command: tuple[str, ...], cluster: str, account: str) -> tuple[str | None, str]:
    if not command:
        return None, "clusters.*.secrets.command is empty"
    # Imported here, as for the keyring: other sources start no program.
    import subprocess  # noqa: PLC0415

    arguments = [part.replace("{cluster}", cluster).replace("{account}", account) for part in command]
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
    line = ended.stdout.partition(b"\n")[0].rstrip(b"\r")
    try:
        return (line.decode() or None), f"{arguments[0]} printed an empty line"
    except UnicodeDecodeError:
        return None, f"{arguments[0]} printed a line that is not utf-8"


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
    def password(self, cluster: str, account: str, node: str = "") -> str:
        """Return the password of an account.

        Args:
            node: the address, where a source makes one for each node; "" for the first configured.

        Raises:
            ConfigurationError: no source has one; the message names the sources tried and the command to set it.
        """
        ...
