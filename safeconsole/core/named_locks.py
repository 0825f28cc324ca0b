"""Which named locks are the console's own, its slots (`slots`): a person's statement takes and releases none."""

from __future__ import annotations

import re

from safeconsole.core.calls import Call
from safeconsole.core.lexicon import Token, TokenKind

PREFIX = "safeconsole."
"""
How their names begin. MySQL 9.7 compares names without regard to case, MariaDB 10.11 with it; letters outside ASCII
stand for themselves on both, and 64 characters fit on both (measured).
"""

LOCKING = frozenset({"get_lock", "release_lock", "release_all_locks"})
"""The functions that take and release named locks."""

_RELEASES_ALL = "release_all_locks"
_LITERALS = frozenset({TokenKind.STRING, TokenKind.LIST})
# x'…' holds digits for letters, a backslash stands for any character, and two quotes or two literals for one.
_PLAIN = re.compile(r"""(?P<quote>['"])(?P<name>[^'"\\]*)(?P=quote)\s*(?P<more>,?)""")


def may_be_owned(call: Call, tokens: tuple[Token, ...]) -> bool:
    """
    Whether a call of a function on named locks may touch one of the console's.

    Args:
        call: of GET_LOCK, RELEASE_LOCK or RELEASE_ALL_LOCKS.
        tokens: of the statement.

    Returns:
        False only for a name that stands there as one plain literal and does not begin with `PREFIX`.
    """
    if call.name == _RELEASES_ALL:
        return True
    inside = tokens[call.position + 2 : call.position + 4]
    found = _PLAIN.match(inside[0].text) if inside and inside[0].kind in _LITERALS else None
    if found is None or not (found["more"] or [token.text for token in inside[1:]] in ([","], [")"])):
        return True
    return found["name"].lower().startswith(PREFIX)
