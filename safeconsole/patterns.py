"""Regular expressions that are compiled when they are first used.

A one-shot loads eighty patterns and uses twenty; each costs a start a tenth of a millisecond or more.
"""

from __future__ import annotations

import re
from typing import AnyStr, cast

_METHODS = ("search", "match", "fullmatch", "sub", "findall", "finditer", "split", "pattern")


def late(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return what `re.compile` returns, compiled on its first use."""
    return cast("re.Pattern[AnyStr]", _LatePattern(pattern, flags))


class _LatePattern:
    def __init__(self, pattern: str | bytes, flags: int) -> None:
        self._pattern, self._flags = pattern, flags

    def __getattr__(self, name: str) -> object:
        # Python asks here for what an object lacks: after the first use it has the compiled pattern's own methods.
        compiled = re.compile(self._pattern, self._flags)
        vars(self).update({method: getattr(compiled, method) for method in _METHODS})
        return getattr(compiled, name)
