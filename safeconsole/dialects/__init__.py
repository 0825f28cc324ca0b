"""The differences between server families, one value each."""

from __future__ import annotations

from collections.abc import Mapping

from safeconsole.dialects.mariadb import MARIADB
from safeconsole.dialects.mysql import AURORA_MYSQL, MYSQL
from safeconsole.dialects.sqlite import SQLITE
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.vocabulary import Flavour

DIALECTS: Mapping[Flavour, Dialect] = {dialect.flavour: dialect for dialect in (MYSQL, AURORA_MYSQL, MARIADB, SQLITE)}
"""Every dialect, by its name."""
