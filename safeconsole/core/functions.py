"""
Which functions are known, and which of them are pure.

Pure: a built-in of this flavour and version, free of side effects, that ends by itself. A function
that is native but not pure has a danger of its own. Everything else is code we do not know.
"""

from __future__ import annotations

from safeconsole.core.catalogue.functions import IMPURE, PURE_MARIADB, PURE_MYSQL, PURE_SQLITE, REMOVED, SINCE
from safeconsole.core.lexicon import LexicalRules
from safeconsole.core.vocabulary import Flavour

_PURE = {
    Flavour.MYSQL: PURE_MYSQL,
    Flavour.AURORA_MYSQL: PURE_MYSQL,
    Flavour.MARIADB: PURE_MARIADB,
    Flavour.SQLITE: PURE_SQLITE,
}


def is_pure(name: str, rules: LexicalRules) -> bool:
    """Whether a lower-case name is a pure built-in of the server; with an unknown version, of every version."""
    if name not in _PURE[rules.flavour]:
        return False
    if rules.flavour in {Flavour.MARIADB, Flavour.SQLITE}:
        return True
    since, removed = SINCE.get(name, 0), REMOVED.get(name, 0)
    if not rules.version:
        return not since and not removed
    return rules.version >= since and not (removed and rules.version >= removed)


def danger_of(name: str) -> str:
    """Return the id of the danger of a native function that is not pure, or ""."""
    return IMPURE.get(name, "")
