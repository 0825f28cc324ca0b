"""People with accounts of their own: a home, a key, a keyring, a terminal; every command is a process of its own."""

import contextlib
import json
import os
import pty
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = sysconfig.get_path("purelib")
WAIT_SECONDS = 60
SETTLE_SECONDS = 0.3
"""Between a question and our answer: what is typed ahead of a question is dropped."""

KEYRING = '''
"""A keyring in a file of the home directory."""
import json, os, pathlib
from keyring.backend import KeyringBackend


class FileKeyring(KeyringBackend):
    priority = 1
    file = pathlib.Path(os.environ["HOME"]) / "keyring.json"

    def _held(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def get_password(self, service, username):
        return self._held().get(f"{service}/{username}")

    def set_password(self, service, username, password):
        held = self._held() | {f"{service}/{username}": password}
        self.file.touch(mode=0o600)
        self.file.write_text(json.dumps(held))

    def delete_password(self, service, username):
        held = self._held()
        held.pop(f"{service}/{username}")
        self.file.write_text(json.dumps(held))
'''


class Account:
    """Somebody: `uid` is a real account of this computer, or None for one that sudo names."""

    def __init__(self, place, name, *, python=sys.executable, uid=None, gid=None):
        self.python, self.uid, self.gid = python, uid, gid
        self.name = pwd.getpwuid(uid).pw_name if uid is not None else name
        self.home = place / name
        self.home.mkdir(mode=0o700)
        self.config = self.home / "config.toml"
        self.environ = {
            "HOME": str(self.home), "PATH": os.environ["PATH"], "TMPDIR": str(self.home), "TERM": "dumb",
            "PYTHONPATH": f"{ROOT}:{place}:{LIBRARIES}", "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHON_KEYRING_BACKEND": "file_keyring.FileKeyring",
        }  # fmt: skip
        if uid is None:
            self.environ["SUDO_USER"] = name
        else:
            os.chown(self.home, uid, gid)

    def may(self):
        """Return what makes a process this account's."""
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def write(self, text):
        self.config.write_text(text)
        self.config.chmod(0o600)
        if self.uid is not None:
            os.chown(self.config, self.uid, self.gid)

    def command(self, *words):
        config = ["--config", str(self.config)] if self.config.exists() else []
        return [self.python, "-m", "safeconsole", *config, *words]

    def run(self, *words, **environ):
        """Run a command without a terminal."""
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=WAIT_SECONDS, check=False,
            stdin=subprocess.DEVNULL, cwd="/", env=self.environ | environ, **self.may(),
        )  # fmt: skip

    def start(self, *words, screen=False, **environ):
        """Start a command on a terminal; with `screen` its rows go there too, as the console itself wants it."""
        return OnTerminal(self, words, environ, screen=screen)

    def new_key(self, where):
        made = self.run("approve", "--new-key", where)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()


class OnTerminal:
    """A process whose standard input and messages are a terminal; rows go to a pipe."""

    def __init__(self, account, words, environ, *, screen):
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            account.command(*words), stdin=theirs, stderr=theirs, stdout=theirs if screen else subprocess.PIPE,
            text=True, cwd="/", env=account.environ | environ, **account.may(),
        )  # fmt: skip
        os.close(theirs)
        self.messages, self._asked = "", 0

    def until(self, pattern):
        """Read messages until one matches, and return the match."""
        end = time.monotonic() + WAIT_SECONDS
        while not (found := re.search(pattern, self.messages)):
            if not self._more(end - time.monotonic()):
                self.process.kill()
                self.process.communicate()
                raise AssertionError(f"no {pattern!r} in: {self.messages}")
        return found

    def code(self):
        """What a second person is to be given."""
        return self.until(r"safeconsole approve (\S+)\s")[1]

    def vouched(self, cluster="shop"):
        """Type the cluster's name at the short question after `--confirm`, and return the process."""
        self._asked += 1
        self.until("(?s)" + ".*".join(["type the name of the cluster"] * self._asked))
        self.type(cluster)
        return self

    def type(self, line):
        time.sleep(SETTLE_SECONDS)
        os.write(self._ours, f"{line}\r".encode())

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def end(self):
        """Return the exit code and standard output."""
        end = time.monotonic() + WAIT_SECONDS
        while self._more(end - time.monotonic()):
            pass
        out, _ = self.process.communicate(timeout=WAIT_SECONDS)
        os.close(self._ours)
        return self.process.returncode, out

    def _more(self, seconds):
        """Read what comes next; False at the end."""
        ready, _, _ = select.select([self._ours], [], [], max(0.0, seconds))
        try:
            data = os.read(self._ours, 65536) if ready else b""
        except OSError:  # the other side is closed
            data = b""
        self.messages += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


class Team:
    """Ann, who asks and whose the shop is, and Ben, who approves."""

    def __init__(self, place, ann, ben, demo):
        self.ann, self.ben = ann, ben
        self.shared = place / "shared"
        self._demo = Path(demo["config"]).read_text()
        self.journals = Path(demo["config"]).parent / "audit" / "sessions"
        self.keys = {}

    def configure(self, *, keys, webhook, policy="strict", directory=True, wait_seconds=60):
        """Write both configurations: the same approvers and directory, a key for each."""
        if keys not in self.keys:
            where = {who: "keyring" if keys == "keyring" else str(who.home / "key.pem") for who in (self.ann, self.ben)}
            self.keys[keys] = {who: (where[who], who.new_key(where[who])) for who in where}
        approvers = ", ".join(f'{who.name} = "{public}"' for who, (_, public) in self.keys[keys].items())
        for who in (self.ann, self.ben):
            who.write(
                f'[approvals]\nkey = "{self.keys[keys][who][0]}"\napprovers = {{{approvers}}}\n'
                f"wait_seconds = {wait_seconds}\n"
                + (f'directory = "{self.shared}"\n' if directory else "")
                + f'[notices]\nwebhook = "{webhook}"\n'
                + (
                    self._demo.replace("[clusters.shop]", f'[clusters.shop]\npolicy = "{policy}"')
                    if who is self.ann
                    else ""
                )
            )

    def records(self):
        """The records of the newest session."""
        newest = max(self.journals.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
        return [json.loads(line)["record"] for line in newest.read_text().splitlines()]

    def columns(self):
        """The columns of the table that the tests change."""
        told = self.ann.run("sql", "shop", "-e", "PRAGMA table_info(customers)", "--format", "json")
        assert told.returncode == 0, told.stderr
        return [row["name"] for row in json.loads(told.stdout)]


@contextlib.contextmanager
def team(*, real):
    """Put up the shop as Ann's, for two real accounts of this computer or for two that sudo names."""
    place = Path(tempfile.mkdtemp(prefix="safeconsole-people-"))
    place.chmod(0o755)
    (place / "file_keyring.py").write_text(KEYRING)
    (place / "shared").mkdir()
    nobody, other = pwd.getpwnam("nobody"), pwd.getpwnam("daemon")
    uids = (nobody.pw_uid, other.pw_uid) if real else (None, None)
    python = python_for_others() if real else sys.executable
    ann, ben = (
        Account(place, name, python=python, uid=uid, gid=nobody.pw_gid)
        for name, uid in zip(("ann", "ben"), uids, strict=True)
    )
    if real:
        # As an administrator would: one group for both, and nobody else.
        os.chown(place / "shared", 0, nobody.pw_gid)
        (place / "shared").chmod(0o2770)
    serving = subprocess.Popen(
        ann.command("demo", "--engine", "embedded", "--serve"), stdout=subprocess.PIPE, text=True, cwd="/",
        stdin=subprocess.DEVNULL, env=ann.environ, **ann.may(),
    )  # fmt: skip
    try:
        yield Team(place, ann, ben, json.loads(serving.stdout.readline()))
    finally:
        serving.terminate()
        serving.wait(WAIT_SECONDS)
        serving.stdout.close()
        shutil.rmtree(place, ignore_errors=True)


def why_no_real_accounts():
    """Return why tests cannot become other accounts here, or ""."""
    if os.geteuid() != 0:
        return "only root can become two other accounts"
    return "" if python_for_others() else "other accounts cannot read this checkout, or no Python of this version"


def python_for_others():
    """Return a Python of this version that other accounts may run, or ""."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    nobody = pwd.getpwnam("nobody")
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        with contextlib.suppress(OSError):
            tried = subprocess.run(
                [python, "-c", "import safeconsole.app, cryptography, sqlglot"], user=nobody.pw_uid, group=nobody.pw_gid,
                extra_groups=[], env={"PYTHONPATH": f"{ROOT}:{LIBRARIES}", "PYTHONDONTWRITEBYTECODE": "1"}, cwd="/",
                capture_output=True, check=False,
            )  # fmt: skip
            if tried.returncode == 0:
                return python
    return ""


def why_no_names():
    """Return why sudo's word does not count here, or ""."""
    try:
        uid = int(Path("/proc/self/loginuid").read_text())
    except (OSError, ValueError):
        return ""
    return "" if uid == 2**32 - 1 else "the kernel knows who logged in, and no test can be somebody else"
