"""The person's identity, from the sources that are hardest to forge.

The kernel's login uid survives sudo and su; SUDO_USER survives sudo; the account of the process is what remains.
The environment can be set by the person, and is only a hint.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import socket
import stat
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TextIO

import msgspec

DEMO_KEY = "demo.key"
"""The private file in a demo's directory that holds its key."""

_DEMO_MARK = "safeconsole-demo-"


def demo_mark(key: bytes) -> str:
    """Return the mark that a demo's servers carry, from its key; the key cannot be derived from it."""
    return _DEMO_MARK + hashlib.sha256(b"safeconsole demo\n" + key).hexdigest()


def demo_mark_in(name: str) -> str:
    """Return the mark in a server's file name, or ""."""
    last = name.rpartition("/")[2].removesuffix(".log")
    return last if last.startswith(_DEMO_MARK) else ""


class NameProof(StrEnum):
    """What a person's name rests on, the hardest to forge first."""

    LOGIN_UID = "login-uid"
    ACCOUNT = "account"
    SUDO_USER = "sudo-user"


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """The person, as the computer knows them, not as they say.

    Attributes:
        name: the login identity that sudo and su do not hide, else the account of the process.
        login: the account of the process.
        groups: names of that account's groups, sorted.
        origin: where the person came from ("10.0.0.9" over ssh, a terminal's name), or "".
        agent: the kind of program that asks for them ("ci", "claude-code", …), "" for a person at a terminal.
        terminal: whether a person can be asked, on standard input and standard error.
        proof: what the name rests on; whoever starts the console can set SUDO_USER.
    """

    name: str
    login: str
    groups: tuple[str, ...]
    host: str
    origin: str = ""
    agent: str = ""
    terminal: bool = False
    proof: NameProof = NameProof.ACCOUNT


# The kernel's login uid survives sudo and su; SUDO_USER survives sudo; the account the process runs as is what
# remains. Everything from the environment can be set by the person, and is kept as a hint.


LOGIN_UID = Path("/proc/self/loginuid")
UNSET_UID = 2**32 - 1
"""The kernel's login uid when nobody logged in (a container, a service). Source: pam_loginuid(8)."""

AGENT_MARKERS: tuple[tuple[str, str], ...] = (
    ("CLAUDE_CODE_IS_COWORK", "cowork"),
    ("CLAUDECODE", "claude-code"),
    ("CLAUDE_CODE", "claude-code"),
    ("CLAUDE_CODE_ENTRYPOINT", "claude-code"),
    ("CODEX_THREAD_ID", "codex"),
    ("CODEX_SANDBOX", "codex"),
    ("CODEX_SANDBOX_NETWORK_DISABLED", "codex"),
    ("CODEX_CI", "codex"),
    ("CURSOR_AGENT", "cursor"),
    ("CURSOR_TRACE_ID", "cursor"),
    ("CURSOR_EXTENSION_HOST_ROLE", "cursor"),
    ("GEMINI_CLI", "gemini-cli"),
    ("QWEN_CODE", "qwen-code"),
    ("ANTIGRAVITY_AGENT", "antigravity"),
    ("AIDER_MODEL", "aider"),
    ("OPENCODE", "opencode"),
    ("OPENCODE_CLIENT", "opencode"),
    ("COPILOT_AGENT_SESSION_ID", "copilot"),
    ("COPILOT_AGENT", "copilot"),
    ("COPILOT_CLI", "copilot"),
    ("COPILOT_MODEL", "copilot"),
    ("COPILOT_ALLOW_ALL", "copilot"),
    ("AUGMENT_AGENT", "augment"),
    ("CLINE_ACTIVE", "cline"),
    ("ROO_ACTIVE", "roo-code"),
    ("CRUSH", "crush"),
    ("GOOSE_TERMINAL", "goose"),
    ("AMP_CURRENT_THREAD_ID", "amp"),
    ("HERMES_SESSION_ID", "hermes"),
    ("OPENCLAW_SHELL", "openclaw"),
    ("PI_CODING_AGENT", "pi"),
    ("TRAE_AI_SHELL_ID", "trae"),
    ("REPL_ID", "replit"),
    ("AI_AGENT", "agent"),
    ("AGENT", "agent"),
    ("GITHUB_ACTIONS", "github-actions"),
    ("GITLAB_CI", "gitlab-ci"),
    ("BUILDKITE", "buildkite"),
    ("CIRCLECI", "circleci"),
    ("JENKINS_URL", "jenkins"),
    ("TEAMCITY_VERSION", "teamcity"),
    ("TF_BUILD", "azure-pipelines"),
    ("BITBUCKET_BUILD_NUMBER", "bitbucket"),
    ("CODEBUILD_BUILD_ID", "codebuild"),
    ("CI", "ci"),
)
"""Environment variables that programs set for their children, and our names for the programs; the first found wins.

Sources: the agents' documentation, the lists of unjs/std-env and @vercel/detect-agent, and the AGENTS.md proposal of
`AGENT`. A marker only tightens. Coding agents stand before build servers, so that an agent inside a build is named.
"""

NO_TERMINAL = "no-terminal"
"""The agent's name when nobody can be asked and nothing else is known."""

LONGEST_KEY = 1024

FALSE_WORDS = frozenset({"", "0", "false", "no", "off"})


def who(environ: Mapping[str, str], *, login_uid: Path = LOGIN_UID) -> Person:
    """Return the person; never raises, unknown facts are empty."""
    terminal = _has_terminal()
    login, sudo = _name_of(os.geteuid()), environ.get("SUDO_USER", "")
    logged_in = _login_name(login_uid)
    proof = NameProof.LOGIN_UID if logged_in else NameProof.SUDO_USER if sudo else NameProof.ACCOUNT
    return Person(
        name=logged_in or sudo or login,
        proof=proof,
        login=login,
        groups=_groups(),
        host=socket.gethostname(),
        origin=_origin(environ),
        agent=_agent(environ),
        terminal=terminal,
    )


def demo_mark_of(directory: str) -> str:
    """Return the mark of the demo in a directory, "" unless that and its key belong to this account alone."""
    if not directory:
        return ""
    place = Path(directory)
    try:
        private = stat.S_ISDIR(place.lstat().st_mode) and _is_ours_alone(place.lstat())
        with open(place / DEMO_KEY, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW)) as file:
            opened = os.fstat(file.fileno())
            private = private and stat.S_ISREG(opened.st_mode) and _is_ours_alone(opened)
            return demo_mark(file.read(LONGEST_KEY)) if private else ""
    except OSError:
        return ""


def _is_ours_alone(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _login_name(path: Path) -> str:
    try:
        uid = int(path.read_text())
    except (OSError, ValueError):
        return ""
    return "" if uid == UNSET_UID else _name_of(uid)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _groups() -> tuple[str, ...]:
    names = []
    for gid in {os.getegid(), *os.getgroups()}:
        try:
            names.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            names.append(str(gid))
    return tuple(sorted(names))


def _origin(environ: Mapping[str, str]) -> str:
    connection = environ.get("SSH_CONNECTION", "") or environ.get("SSH_CLIENT", "")
    if connection:
        return connection.split()[0]
    try:
        return os.ttyname(sys.stdin.fileno())
    except (OSError, ValueError, AttributeError):
        return ""


def _agent(environ: Mapping[str, str]) -> str:
    for variable, name in AGENT_MARKERS:
        if environ.get(variable, "").strip().lower() not in FALSE_WORDS:
            return name
    # Somebody who pipes a script in, or rows out, still sits at the terminal that the other streams are.
    return "" if any(_is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)) else NO_TERMINAL


def _has_terminal() -> bool:
    return _is_terminal(sys.stdin) and _is_terminal(sys.stderr)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False
