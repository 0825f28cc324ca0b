"""
Which functions are known, and which of them are pure.

Pure: a built-in of this flavour and version, free of side effects, that ends by itself. A function
that is native but not pure has a danger of its own. Everything else is code we do not know.
"""

from __future__ import annotations

from safeconsole.core.catalogue.functions import (
    IMPURE,
    PURE_MARIADB,
    PURE_MYSQL,
    PURE_SQLITE,
    REMOVED_MYSQL,
    SINCE_MARIADB,
    SINCE_MYSQL,
)
from safeconsole.core.lexicon import LexicalRules
from safeconsole.core.vocabulary import Flavour

_NEVER: dict[str, int] = {}
_PURE: dict[Flavour, tuple[frozenset[str], dict[str, int], dict[str, int]]] = {
    Flavour.MYSQL: (PURE_MYSQL, SINCE_MYSQL, REMOVED_MYSQL),
    Flavour.AURORA_MYSQL: (PURE_MYSQL | {"aurora_version"}, SINCE_MYSQL, REMOVED_MYSQL),
    Flavour.MARIADB: (PURE_MARIADB, SINCE_MARIADB, _NEVER),
    Flavour.SQLITE: (PURE_SQLITE, _NEVER, _NEVER),
}


def is_pure(name: str, rules: LexicalRules) -> bool:
    """Whether a lower-case name is a pure built-in of the server; with an unknown version, of every version."""
    pure, since, removed = _PURE[rules.flavour]
    if name not in pure:
        return False
    if not rules.version:
        return name not in since and name not in removed
    return since.get(name, 0) <= rules.version < removed.get(name, rules.version + 1)


def danger_of(name: str) -> str:
    """Return the id of the danger of a native function that is not pure, or ""."""
    return IMPURE.get(name, "")
