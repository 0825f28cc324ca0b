"""Sizes of single indexes, from the persistent statistics of the tables that matter, a table at a time."""

from __future__ import annotations

from safeconsole.core.errors import ConfigurationError, ServerError
from safeconsole.core.vocabulary import Flavour
from safeconsole.jobs import statistics
from safeconsole.jobs.asking import NOT_GRANTED, Asker
from safeconsole.jobs.conduct import Conduct, Progress
from safeconsole.jobs.pace import Pace, pressure_of
from safeconsole.jobs.sizes import PARTITION, TableSize


def index_sizes(asker: Asker, conduct: Conduct, sizes: list[TableSize]) -> list[dict[str, int]]:
    """
    Return the bytes of each index by its name, one mapping a table, in order; partitions added up.

    Raises:
        ConfigurationError: the engine keeps no such statistics, or the account may not read them.
        SafeConsoleError: a lookup failed, was lost, or no node is fit for it.
    """
    if asker.flavour is Flavour.SQLITE:
        raise ConfigurationError("this engine keeps no sizes of indexes", instead="capacity without --indexes")
    page_bytes = int(asker.ask(statistics.start_sql()).rows[0][0])
    found, pace = [], Pace()
    for number, size in enumerate(sizes, start=1):
        started = asker.seconds()
        found.append(_of_table(asker, conduct, size, page_bytes))
        conduct.watcher.show(Progress(done=number, expected=len(sizes)))
        pressure = pressure_of(asker.last, asker.gate.policy.gates) if asker.last else 0.0
        conduct.rest(pace.rest_seconds(asker.seconds() - started, pressure))
    return found


def _of_table(asker: Asker, conduct: Conduct, size: TableSize, page_bytes: int) -> dict[str, int]:
    sql = statistics.indexes_sql(asker, size.schema, size.name)
    try:
        told = conduct.once_fit(asker.gate, 0, lambda: asker.ask(sql))
    except ServerError as error:
        if error.code not in NOT_GRANTED:
            raise
        raise ConfigurationError(
            f"sizes of indexes cannot be read: {error.server_message}",
            instead="grant the read account SELECT ON mysql.innodb_index_stats",
        ) from error
    indexes: dict[str, int] = {}
    for index, table, pages in told.rows:
        if PARTITION.split(str(table), maxsplit=1)[0] == size.name:
            indexes[str(index)] = indexes.get(str(index), 0) + int(pages) * page_bytes
    return indexes
