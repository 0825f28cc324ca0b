"""Reaches servers through a bastion: one OpenSSH connection, and a private Unix socket for each node."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from safeconsole.errors import ConfigurationError, UnreachableError

OPEN_SECONDS = 20.0
"""Longest time until the bastion let us in, over all its jumps."""

KEPT_SECONDS = 60
"""How long the connection to the bastion stays open when nothing goes over it, for whoever comes next."""

_OWN_CONNECTION = (
    # What needs an answer would be asked on the terminal, in the middle of a prompt.
    "-o", "BatchMode=yes",
    "-o", "ConnectTimeout=10",
    # A network that changed is found out, rather than waited for.
    "-o", "ServerAliveInterval=5",
    "-o", "ServerAliveCountMax=3",
    "-o", "ClearAllForwardings=yes",
    "-o", f"ControlPersist={KEPT_SECONDS}",
    "-o", "ForkAfterAuthentication=yes",
    "-M", "-N", "-T",
)  # fmt: skip
_FORWARD = ("-o", "BatchMode=yes", "-O", "forward")


class Bastion:
    """A bastion host; thread-safe, and shared with other processes of the account.

    The person's own connection to it is used where their configuration keeps one (ControlMaster); else one is opened
    that stays for a minute after its last use. Whoever holds the bastion sees encrypted connections: servers prove
    themselves as without it.

    Args:
        host: as `ssh` takes it: a name in its configuration, or user@host.
        directory: private one for the sockets.
    """

    def __init__(self, host: str, directory: Path) -> None:
        self.host = host
        self._directory = directory
        self._name = hashlib.sha256(host.encode()).hexdigest()[:8]
        self._control = directory / f"{self._name}.ssh"
        self._lock = threading.Lock()

    def connect(self, host: str, port: int, *, within_seconds: float) -> socket.socket:
        """Return a connection to an address as the bastion resolves it.

        Args:
            within_seconds: for connecting to the local end.

        Raises:
            UnreachableError: the bastion cannot be reached, or forwards nothing.
            OSError: the local end does not answer.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        path = self._directory / f"{self._name}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
        try:
            return _connected(path, within_seconds)
        except (FileNotFoundError, ConnectionRefusedError):
            pass
        with self._lock, self._alone():
            # Another one may have opened it meanwhile.
            with suppress(FileNotFoundError, ConnectionRefusedError):
                return _connected(path, within_seconds)
            self._forward(path, address)
        return _connected(path, within_seconds)

    def _forward(self, path: Path, address: str) -> None:
        if self._ssh("-O", "check").returncode == 0:
            where: tuple[str, ...] = ()
        else:
            where = ("-S", str(self._control))
            if self._ssh(*where, "-O", "check").returncode != 0:
                self._let_in(where)
        with suppress(FileNotFoundError):
            # Of a connection that ended without removing it.
            path.unlink()
        forwarded = self._ssh(*where, *_FORWARD, "-L", f"{path}:{address}")
        if forwarded.returncode != 0:
            raise UnreachableError(
                f"{self.host} does not forward to {address}: {_last_line(forwarded.stderr)}",
                instead="its sshd must allow TCP forwarding there (AllowTcpForwarding, PermitOpen)",
            )

    def _let_in(self, where: tuple[str, ...]) -> None:
        with suppress(FileNotFoundError):
            # Of a connection that ended without removing it; ssh takes it for one that is still there.
            self._control.unlink()
        opened = self._ssh(*where, *_OWN_CONNECTION)
        if opened.returncode != 0:
            raise UnreachableError(
                f"ssh cannot open {self.host}: {_last_line(opened.stderr)}",
                instead=f"try `ssh {self.host} true`; what asks for a passphrase or a code needs an agent, "
                "or a ControlMaster that was opened by hand",
            )

    def _ssh(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        # Standard error goes to a file: the connection that stays in the background would hold a pipe open.
        with tempfile.TemporaryFile(dir=self._directory) as said:
            command = ["ssh", *arguments, "--", self.host]
            try:
                ended = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    timeout=OPEN_SECONDS,
                    check=False,
                    # Ctrl-C at the console stops a statement, not the way to the servers.
                    start_new_session=True,
                )
            except subprocess.TimeoutExpired:
                raise UnreachableError(f"ssh to {self.host} did not answer within {OPEN_SECONDS:g} s") from None
            except OSError as error:
                why = (error.strerror or "unknown error").lower()
                raise ConfigurationError(f"ssh cannot be started: {why}", instead="install OpenSSH's client") from None
            said.seek(0)
            return subprocess.CompletedProcess(command, ended.returncode, stderr=said.read())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lock out other processes of this account that would open the same."""
        with (self._directory / f"{self._name}.lock").open("w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def socket_directory(environ: Mapping[str, str]) -> Path:
    """Return the account's private directory for sockets, made where it is missing; its path is short, as they need it.

    Raises ConfigurationError: somebody else could replace what is in it.
    """
    given = environ.get("XDG_RUNTIME_DIR", "")
    place = Path(given) if Path(given).is_absolute() and len(given) < _LONGEST_PLACE else Path(tempfile.gettempdir())
    directory = place / f"safeconsole-{os.geteuid()}"
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigurationError(
            f"{directory} is not a directory of this account alone", instead=f"remove it, or chmod 0700 {directory}"
        )
    return directory


_LONGEST_PLACE = 60
"""Of the 104 bytes that the shortest systems allow for a socket's path."""


def _connected(path: Path, within_seconds: float) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.settimeout(within_seconds)
    try:
        opened.connect(str(path))
    except BaseException:
        opened.close()
        raise
    return opened


def _last_line(said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
