"""A PostgreSQL of one's own, as a test or a measurement needs it."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path


def postgres_binaries():
    """The directory of PostgreSQL's programs, the newest where there are several, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def own_postgres(binaries):
    """Yield the address of a running server, and functions that start and stop it."""
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    data = Path(tempfile.mkdtemp(prefix="safeconsole-pg-", dir="/tmp"))
    os.chown(data, account.pw_uid, account.pw_gid)
    # It refuses to run as root.
    become = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": ()} if os.geteuid() == 0 else {}
    subprocess.run(
        [binaries / "initdb", "-D", data / "d", "-A", "trust", "-U", "audit", "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=data,
        **become,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = []

    def start():
        command = [binaries / "postgres", "-D", data / "d", "-p", str(port), "-k", str(data), "-h", "127.0.0.1"]
        running.append(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=data, **become)
        )
        deadline = time.monotonic() + 30
        while subprocess.run(
            [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False
        ).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop():
        # Not after its clients have left, but at once: SIGINT is its fast shutdown.
        running[-1].send_signal(signal.SIGINT)
        running[-1].wait(30)

    start()
    try:
        yield f"postgresql+psycopg://audit@127.0.0.1:{port}/postgres", start, stop
    finally:
        if running[-1].poll() is None:
            stop()
        shutil.rmtree(data)
