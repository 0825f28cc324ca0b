"""Storage engines: which of them keep their rows on the server itself, and what reading the others does."""

from __future__ import annotations

from safeconsole.dialects.catalogue import words
from safeconsole.sqltext.statement import Hazard
from safeconsole.sqltext.vocabulary import CostClass

ORDINARY = words(
    "innodb xtradb myisam mrg_myisam memory heap aria csv archive sequence performance_schema rocksdb tokudb"
    " columnstore mroonga ndbcluster ndb ndbinfo"
)
"""Engines whose tables are rows that the server keeps, or counts out itself; lower case."""

_ELSEWHERE: dict[str, str] = {
    "connect": "a CONNECT table is a program that the server runs, a file that it opens, or another database",
    "federated": "a FEDERATED table is a table of another server, which is asked with a password kept here",
    "federatedx": "a FEDERATED table is a table of another server, which is asked with a password kept here",
    "spider": "a SPIDER table sends statements to other servers",
    "s3": "an S3 table is fetched from an object store",
    "sphinx": "a SPHINX table asks a search server",
    "cassandra": "a CASSANDRA table asks another cluster",
    "oqgraph": "an OQGRAPH table computes a graph out of another table, as long as that takes",
    "example": "an EXAMPLE table is a stub for developers of engines",
}


def engine_hazard(engine: str) -> Hazard | None:
    """
    Return the danger of reading a table of an engine, or None for an ordinary one.

    Args:
        engine: as the server names it; "" where it does not say.
    """
    name = engine.lower()
    if name in ORDINARY:
        return None
    if name == "blackhole":
        return Hazard(
            id="engine-keeps-nothing",
            cost=CostClass.CALLS_UNKNOWN_CODE,
            why="a BLACKHOLE table keeps no row: it answers every read with none, and passes on what is written",
            instead="read the table on a node where it has another engine",
        )
    if name in _ELSEWHERE:
        return Hazard(
            id="engine-reaches-elsewhere",
            cost=CostClass.CALLS_UNKNOWN_CODE,
            why=_ELSEWHERE[name],
            instead="ask the place that the table stands for, or elevate",
        )
    return Hazard(
        id="unknown-engine",
        cost=CostClass.CALLS_UNKNOWN_CODE,
        why=f"nothing is known of the storage engine {engine or 'of a table, which the server does not name'}",
        instead="see its engine with SHOW CREATE TABLE; if it must be read, elevate",
    )
