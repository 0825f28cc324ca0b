"""Reads the rows of a change before and after it, in its own transaction, for `undo`."""

from __future__ import annotations

import re

from msgspec.structs import replace

from safeconsole.dialects.privileges import AccountPrivileges, sees_triggers_of
from safeconsole.mysql.error_codes import code_of, is_lost
from safeconsole.mysql.wire import DriverError, Wire
from safeconsole.sqltext.undoing import NOT_KEPT, KeepOrder, KeptRows, literal_of, quoted

_GENERATED = "GENERATED"


_DENIED = frozenset({1142, 1143})
"""The account may not read the table, or a column. Source: MySQL 9.7 and MariaDB 10.11, ER_TABLEACCESS_DENIED_ERROR."""

Lacks = tuple[str, ...]
"""Why rows are not kept, for the person; nothing where they are."""


class NotKeptError(ValueError):
    """The rows are not kept, and the change goes on; the message says why."""


def kept_before(
    wire: Wire, order: KeepOrder, *, held: AccountPrivileges | None, commits: bool
) -> tuple[KeptRows | None, Lacks]:
    """Return a change's rows as they are, and lock them. Raises DriverError, OSError: nothing was changed.

    Args:
        held: what the account may do, None where that is not known.
        commits: whether the change commits by itself.
    """
    if commits:
        return None, (f"{NOT_KEPT}: it commits by itself",)
    try:
        kept = rows_before(wire, order, held)
    except NotKeptError as error:
        return None, (f"{NOT_KEPT}: {error}",)
    except DriverError as error:
        if is_lost(error) or code_of(error) not in _DENIED:
            raise
        return None, (f"{NOT_KEPT}: its account may not read them",)
    return kept, ((f"an undo does not put back {kept.unseen}",) if kept.unseen else ())


def kept_after(wire: Wire, kept: KeptRows, *, touched: int) -> tuple[KeptRows | None, Lacks]:
    """Return the same with what became of them. Raises DriverError, OSError: the connection is lost."""
    try:
        return rows_after(wire, kept, touched=touched), ()
    except NotKeptError as error:
        return None, (f"{NOT_KEPT}: {error}",)
    except DriverError as error:
        # The change is made, and is not given up for this.
        if is_lost(error):
            raise
        return None, (f"{NOT_KEPT}: the server did not show what became of them ({code_of(error)})",)


def rows_before(wire: Wire, order: KeepOrder, held: AccountPrivileges | None) -> KeptRows:
    """Lock a change's rows and return them. Raises NotKeptError; DriverError, OSError as any statement."""
    if order.lacks:
        raise NotKeptError(order.lacks)
    # Field, Type, Null, Key, Default, Extra, in this order on every server.
    described = [
        (str(name), str(type_), key == "PRI")
        for name, type_, _, key, _, extra, *_ in wire.texts(f"SHOW COLUMNS FROM {order.table}")
        if _GENERATED not in str(extra).upper() or str(extra).upper().startswith("DEFAULT_GENERATED")
    ]
    keys = tuple(name for name, _, is_key in described if is_key)
    literals = {name: literal_of(name, type_) for name, type_, _ in described}
    known = {name.lower(): name for name in literals}
    changed = tuple(known.get(name.lower(), "") for name in order.changed)
    if not keys:
        raise NotKeptError("the table has no primary key")
    if "" in changed or set(changed) & set(keys):
        raise NotKeptError("it sets its key, or a column that is not known")
    wanted = tuple(name for name in literals if not changed or name in {*keys, *changed})
    unsure = next((name for name in wanted if not literals[name]), "")
    if unsure:
        raise NotKeptError(f"the value of {unsure} is not exact as a text")
    values = ", ".join(literals[name] for name in wanted)
    limit = "" if order.limited else f" LIMIT {order.most_rows + 1}"
    rows = wire.texts(f"SELECT {values} {order.source}{limit} FOR UPDATE")
    if len(rows) > order.most_rows:
        raise NotKeptError(f"it finds more than {order.most_rows} rows")
    before = _exact(wanted, rows)
    unseen = _unseen_changes(wire, order, held)
    return KeptRows(table=order.table, columns=wanted, keys=keys, changed=changed, before=before, unseen=unseen)


def _exact(names: tuple[str, ...], rows: list[tuple[str | None, ...]]) -> tuple[tuple[str, ...], ...]:
    """Return rows of literals. Raises NotKeptError: a value has none."""
    unsure = next((name for row in rows for name, value in zip(names, row, strict=True) if value is None), "")
    if unsure:
        raise NotKeptError(f"a value of {unsure} is not exact as a text")
    return tuple(tuple(str(value) for value in row) for row in rows)


_UNSEEN = frozenset({1109, 1142, 1227})
"""The account has no PROCESS, or the server no such view: foreign keys are not seen so."""

# Bits 1 and 2 are ON DELETE CASCADE and SET NULL, 4 and 8 the same ON UPDATE. Source: MySQL manual, "INNODB_FOREIGN".
_CASCADES_OF_DELETE, _CASCADES_OF_UPDATE = 3, 12


def _unseen_changes(wire: Wire, order: KeepOrder, held: AccountPrivileges | None) -> str:
    """Return what may change more with it, and is not for the account to see.

    Raises NotKeptError: a trigger or a foreign key is seen to change more with it.
    """
    event = "UPDATE" if order.changed else "DELETE"
    # A pattern: it may find more tables, and only this one's triggers count.
    pattern = re.sub(r"[^\w$ -]", "_", order.name)
    triggers = wire.texts(f"SHOW TRIGGERS FROM {quoted(order.schema)} LIKE '{pattern}'") if order.schema else []
    trigger = next((row[0] for row in triggers if row[1] == event and row[2] == order.name), None)
    if trigger:
        raise NotKeptError(f"the trigger {trigger} changes more with it, and would again")
    is_mariadb = "mariadb" in wire.server_version.lower()
    # MariaDB shows the triggers of a table to whoever may change it. Source: MariaDB 10.11 and MySQL 9.7, measured.
    sees_triggers = is_mariadb or (held is not None and sees_triggers_of(held, order.schema, order.name))
    unseen = (
        () if sees_triggers else ("what a trigger changes with it (the account lacks TRIGGER there, and sees none)",)
    )
    view = "INNODB_SYS_FOREIGN" if is_mariadb else "INNODB_FOREIGN"
    kinds = _CASCADES_OF_UPDATE if order.changed else _CASCADES_OF_DELETE
    try:
        keys = wire.texts(
            f"SELECT f.ID, c.REF_COL_NAME, f.FOR_NAME FROM information_schema.{view} f"  # noqa: S608
            f" JOIN information_schema.{view}_COLS c ON c.ID = f.ID"
            f" WHERE f.REF_NAME = {_literal(f'{order.schema}/{order.name}')} AND f.TYPE & {kinds}"
        )
    except DriverError as error:
        if is_lost(error) or code_of(error) not in _UNSEEN:
            raise
        unseen = (*unseen, "what a foreign key changes with it (the account lacks PROCESS, and sees none)")
        return " and ".join(unseen)
    changed = {name.lower() for name in order.changed}
    key = next((row for row in keys if not changed or str(row[1]).lower() in changed), None)
    if key:
        child = str(key[2]).replace("/", ".", 1)
        raise NotKeptError(f"the foreign key {key[0]} changes rows of {child} with it, which it would not put back")
    return " and ".join(unseen)


def _literal(text: str) -> str:
    return f"CONVERT(X'{text.encode().hex()}' USING utf8mb4)" if re.search(r"[^\w$/ -]", text) else f"'{text}'"


def rows_after(wire: Wire, kept: KeptRows, *, touched: int) -> KeptRows:
    """Return the kept rows with their values after the change. Raises as `rows_before`."""
    if touched != len(kept.before):
        raise NotKeptError(f"it found {touched} rows, and {len(kept.before)} were read before it")
    if not kept.changed or not kept.before:
        return kept
    described = {str(row[0]): str(row[1]) for row in wire.texts(f"SHOW COLUMNS FROM {kept.table}")}
    names = (*kept.keys, *kept.changed)
    values = ", ".join(literal_of(name, described[name]) for name in names)
    places = [kept.columns.index(name) for name in kept.keys]
    wanted = ", ".join(f"({', '.join(row[at] for at in places)})" for row in kept.before)
    columns = ", ".join(map(quoted, kept.keys))
    rows = wire.texts(f"SELECT {values} FROM {kept.table} WHERE ({columns}) IN ({wanted})")  # noqa: S608
    if len(rows) != len(kept.before):
        raise NotKeptError("not all of its rows were there after it")
    after = _exact(names, rows)
    return replace(kept, after=after)
