"""
Dangerous objects of the embedded engine.

Source: sqlite.org, "The DBSTAT Virtual Table" and "The SQLITE_DBPAGE Virtual Table".
"""

from __future__ import annotations

from safeconsole.dialects.catalogue import DangerousObject, words
from safeconsole.sqltext.vocabulary import CostClass

OBJECTS: tuple[DangerousObject, ...] = tuple(
    DangerousObject(
        id=identifier,
        schema="",
        names=words(name),
        cost=CostClass.READS_EVERY_PAGE,
        why=why,
        instead="safeconsole capacity CLUSTER (sizes page by page)",
        source="sqlite.org, the documentation of the virtual table",
        measured="grows with the size of the file",
    )
    for identifier, name, why in (
        ("dbstat-size-scan", "dbstat", "sizes of every table: it reads every page of the database file"),
        ("dbpage-scan", "sqlite_dbpage", "it copies every page of the database file"),
    )
)
"""The catalogue; the schema is any, since an attached file has them too."""

CHEAP: frozenset[str] = frozenset()
