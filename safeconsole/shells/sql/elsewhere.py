"""What people type out of habit from other clients, and how the same is done here."""

from __future__ import annotations

from collections.abc import Mapping

_SHELL = "a console on production is no shell: another window is one"
_SCRIPT = "from a shell: safeconsole sql CLUSTER -f FILE; or paste it, and it is listed before anything runs"
_PAGER = "\\pager COMMAND, \\pager on and \\pager off"
_TEE = "every session is recorded already: safeconsole audit show; \\export FILE writes a result"
_LINK = "a lost connection is opened again by itself, with every guard read back; \\use NODE chooses one"
_WARNINGS = "warnings always stand below the statement that they are about"

ELSEWHERE: Mapping[str, str] = {
    "\\!": _SHELL,
    "system": _SHELL,
    "\\.": _SCRIPT,
    "source": _SCRIPT,
    "\\P": _PAGER,
    "pager": _PAGER,
    "\\n": _PAGER,
    "nopager": _PAGER,
    "\\T": "\\format NAME; " + _TEE,
    "tee": _TEE,
    "\\t": _TEE,
    "notee": _TEE,
    "\\r": _LINK,
    "connect": _LINK,
    "\\#": "names are learnt as you go",
    "rehash": "names are learnt as you go",
    "\\x": "a row wider than the terminal turns by itself; \\format vertical turns all",
    "\\o": "\\export FILE",
    "\\f": "\\history WORDS finds what was typed before; so does Ctrl-R",
    "\\fs": "\\history WORDS finds what was typed before; so does Ctrl-R",
    "\\c": "Ctrl-C clears the line",
    "\\W": _WARNINGS,
    "\\w": _WARNINGS,
    "warnings": _WARNINGS,
    "nowarning": _WARNINGS,
    "\\timing": "the time stands below each result",
    "\\l": "SHOW SCHEMAS;",
    "\\df": "SHOW FUNCTION STATUS;",
    "\\dv": "SHOW FULL TABLES WHERE Table_type = 'VIEW';",
}
"""By the first word, in its case: what to do here. Source: the manuals of mysql, mariadb, mycli and psql."""


def done_here_by(text: str) -> str:
    """Return how what was typed is done here, "" where it is no habit from elsewhere."""
    line = text.strip()
    if "\n" in line or not line:
        return ""
    word = line.split()[0].rstrip(";")
    return ELSEWHERE.get(word if word.startswith("\\") else word.lower(), "")
