"""A real sshd on a loopback port, and what leads OpenSSH to it."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
WHY_NONE = "" if os.access(SSHD, os.X_OK) and shutil.which("ssh") else "no sshd here (apt-get install openssh-server)"


class Sshd:
    """An sshd on a loopback port of its own, and a client's configuration that calls it `bastion`."""

    def __init__(self, directory):
        self.directory, self.log = directory, directory / "sshd.log"
        directory.mkdir(mode=0o700)
        for name in ("host", "person"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True, timeout=60
            )
        shutil.copy(directory / "person.pub", directory / "authorized")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        public = " ".join((directory / "host.pub").read_text().split()[:2])
        (directory / "known").write_text(f"[127.0.0.1]:{self.port} {public}\n")
        (directory / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {directory}/host\nAuthorizedKeysFile {directory}/authorized\n"
            f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nLogLevel VERBOSE\n"
        )
        (directory / "ssh_config").write_text(
            f"Host bastion\n HostName 127.0.0.1\n Port {self.port}\n User {getpass.getuser()}\n"
            f" IdentityFile {directory}/person\n IdentitiesOnly yes\n UserKnownHostsFile {directory}/known\n"
        )
        self.process = None

    def start(self):
        # Privilege separation wants its directory, which a package's start-up script would make.
        with contextlib.suppress(PermissionError, FileExistsError):
            os.mkdir("/run/sshd", 0o755)
        command = [SSHD, "-D", "-e", "-f", str(self.directory / "sshd_config")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, start_new_session=True)
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert time.monotonic() < until and self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def stop(self):
        """End it and every connection that it holds."""
        # A connection's own process leads a session of its own.
        served = subprocess.run(["pgrep", "-P", str(self.process.pid)], check=False, capture_output=True, timeout=60)
        self.process.kill()
        self.process.wait(20)
        for pid in served.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def logins(self):
        return self.log.read_text().count("Accepted publickey")


@contextmanager
def running_sshd(directory):
    """
    Yield a running sshd, and the environment (PATH, XDG_RUNTIME_DIR) in which `ssh bastion` leads to it.

    OpenSSH asks the password database, not $HOME, where a person's configuration is.
    """
    found = Sshd(directory / "ssh")
    programs = directory / "programs"
    programs.mkdir()
    # A socket's path is short.
    runtime = Path(tempfile.mkdtemp(prefix="sc-"))
    wrapper = programs / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {found.directory}/ssh_config "$@"\n')
    wrapper.chmod(0o755)
    environ = {"PATH": f"{programs}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(runtime)}
    found.start()
    try:
        yield found, environ
    finally:
        found.stop()
        for control in runtime.glob("safeconsole-*/*.ssh"):
            subprocess.run(
                [str(wrapper), "-S", str(control), "-O", "exit", "bastion"],
                check=False,
                capture_output=True,
                timeout=60,
            )
        shutil.rmtree(runtime)
