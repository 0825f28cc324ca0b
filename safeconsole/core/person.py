"""Who sits at the console."""

from __future__ import annotations

import msgspec


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
