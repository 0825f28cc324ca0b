"""Who sits at the console."""

from __future__ import annotations

import hashlib

import msgspec

DEMO_KEY = "demo.key"
"""The file in a demo's own directory, and nobody else's to read, that holds its key."""

_DEMO_MARK = "safeconsole-demo-"


def demo_mark(key: bytes) -> str:
    """Return what the servers of the demo with a key say of themselves; it does not lead back to the key."""
    return _DEMO_MARK + hashlib.sha256(b"safeconsole demo\n" + key).hexdigest()


def demo_mark_in(name: str) -> str:
    """Return the mark that a server's file name holds, "" where it holds none."""
    last = name.rpartition("/")[2].removesuffix(".log")
    return last if last.startswith(_DEMO_MARK) else ""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who asks, as found out from the computer, not as they say.

    Attributes:
        name: the login identity that sudo and su do not hide, else the account the process runs as.
        login: the account the process runs as.
        groups: names of that account's groups, sorted.
        host: this computer's name.
        origin: where the person came from ("10.0.0.9" over ssh, a terminal's name), or "".
        agent: what kind of program asks for them ("ci", "claude-code", …), "" for a person at a terminal.
        terminal: whether a person can be asked, on standard input and standard error.
    """

    name: str
    login: str
    groups: tuple[str, ...]
    host: str
    origin: str = ""
    agent: str = ""
    terminal: bool = False
