"""The shop: the small production database of every demo and server test.

The same tables and rows for SQLite and for the MySQL family, computed from row numbers alone, so that every run and
every engine has the same data. Beside the four live tables stand leftovers of three schema-migration tools: gh-ost's
`_gho`, `_ghc`, `_del`; LHM's `lhma_`, `lhmn_`; pt-online-schema-change's `_old`, `_new`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

Engine = Literal["sqlite", "mysql"]
Row = tuple[int | str, ...]

SCHEMA: Final = "shop"
CUSTOMER_COUNT: Final = 1_000
PRODUCT_COUNT: Final = 200
ORDER_COUNT: Final = 5_000

_OPENED = datetime(2023, 1, 1)  # noqa: DTZ001  (the columns hold no time zone)
_ORDER_GAP = timedelta(seconds=5_303)
_CUSTOMER_GAP = timedelta(seconds=26_501)
_COUNTRIES = ("IE", "GB", "US", "DE", "FR", "JP", "AU", "BR")
_STATUSES = ("delivered", "delivered", "delivered", "shipped", "paid", "pending", "cancelled")
_FIRST_NAMES = ("Aoife", "Bram", "Chidi", "Dana", "Emre", "Freya", "Goran", "Hana", "Ines", "Jun")
_LAST_NAMES = ("Walsh", "Okafor", "Novak", "Tanaka", "Silva", "Meyer", "Kaya", "Dubois", "Larsen")
_ADJECTIVES = ("Plain", "Bright", "Sturdy", "Folding", "Woollen", "Copper", "Quiet", "Tall")
_THINGS = ("lamp", "kettle", "chair", "notebook", "blanket", "clock", "basket", "mirror", "shelf")

_CUSTOMER = (
    ("name", "VARCHAR(100) NOT NULL"),
    ("email", "VARCHAR(150) NOT NULL"),
    ("country", "CHAR(2) NOT NULL"),
    ("created_at", "DATETIME NOT NULL"),
)
_ORDER = (
    ("customer_id", "INTEGER NOT NULL"),
    ("status", "VARCHAR(16) NOT NULL"),
    ("total", "DECIMAL(10,2) NOT NULL"),
    ("created_at", "DATETIME NOT NULL"),
)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the shop.

    Attributes:
        columns: (name, type) after the integer primary key `id`.
        indexed: columns with an index: the references. There are no foreign key constraints, as is usual where tables
            are
            migrated online: the migration tools cannot carry them over.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    indexed: tuple[str, ...] = ()


LIVE_TABLES: Final = (
    Table(name="customers", columns=_CUSTOMER),
    Table(
        name="products",
        columns=(
            ("name", "VARCHAR(100) NOT NULL"),
            ("price", "DECIMAL(10,2) NOT NULL"),
            ("stock", "INTEGER NOT NULL"),
        ),
    ),
    Table(name="orders", columns=_ORDER, indexed=("customer_id",)),
    Table(
        name="order_items",
        columns=(
            ("order_id", "INTEGER NOT NULL"),
            ("product_id", "INTEGER NOT NULL"),
            ("quantity", "INTEGER NOT NULL"),
            ("price", "DECIMAL(10,2) NOT NULL"),
        ),
        indexed=("order_id", "product_id"),
    ),
)
LEFTOVER_TABLES: Final = (
    Table(name="_orders_gho", columns=(*_ORDER, ("note", "VARCHAR(50)")), indexed=("customer_id",)),
    Table(
        name="_orders_ghc",
        columns=(
            ("last_update", "DATETIME NOT NULL"),
            ("hint", "VARCHAR(64) NOT NULL"),
            ("value", "VARCHAR(255) NOT NULL"),
        ),
    ),
    Table(name="_orders_del", columns=_ORDER, indexed=("customer_id",)),
    Table(name="lhma_2023_11_07_11_49_00_000_orders", columns=_ORDER, indexed=("customer_id",)),
    Table(name="lhmn_orders", columns=_ORDER, indexed=("customer_id",)),
    Table(name="_customers_old", columns=_CUSTOMER),
    Table(name="_customers_new", columns=(*_CUSTOMER, ("phone", "VARCHAR(30)"))),
)
TABLES: Final = (*LIVE_TABLES, *LEFTOVER_TABLES)


_KEYS: Mapping[Engine, str] = {"sqlite": "INTEGER PRIMARY KEY", "mysql": "INTEGER PRIMARY KEY AUTO_INCREMENT"}
_MARKS: Mapping[Engine, str] = {"sqlite": "?", "mysql": "%s"}


def create_statements(engine: Engine) -> tuple[str, ...]:
    """Return the statements that create every table, in order."""
    key = _KEYS[engine]
    statements: list[str] = []
    for table in TABLES:
        columns = "".join(f", {name} {kind}" for name, kind in table.columns)
        statements.append(f"CREATE TABLE {table.name} (id {key}{columns})")
        # SQLite's index names share one space, so the table's name is part of them.
        statements.extend(f"CREATE INDEX {table.name}_{column} ON {table.name} ({column})" for column in table.indexed)
    return tuple(statements)


def insert_statement(table: Table, engine: Engine) -> str:
    """Return the insert for one row of `table`, for the driver's `executemany`."""
    mark = _MARKS[engine]
    names = ("id", *(name for name, _ in table.columns))
    marks = ", ".join(mark for _ in names)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"


def rows(table: str) -> Iterator[Row]:
    """Yield the rows of a table in key order, as tuples; times as "YYYY-MM-DD hh:mm:ss", money as text.

    Raises KeyError: the shop has no such table.
    """
    return _ROWS[table]()


def _spread(number: int, *, salt: int, below: int) -> int:
    mixed = (number * 2_654_435_761 + salt * 40_503) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 15)) * 2_246_822_519 & 0xFFFFFFFF) % below


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _price_cents(product: int) -> int:
    return 199 + 50 * _spread(product, salt=1, below=400)


def _customer_rows(first: int, last: int) -> Iterator[Row]:
    for number in range(first, last + 1):
        name = _FIRST_NAMES[_spread(number, salt=2, below=len(_FIRST_NAMES))]
        family = _LAST_NAMES[_spread(number, salt=3, below=len(_LAST_NAMES))]
        yield (
            number,
            f"{name} {family}",
            f"{name}.{family}.{number}@example.com".lower(),
            _COUNTRIES[_spread(number, salt=4, below=len(_COUNTRIES))],
            str(_OPENED + number * _CUSTOMER_GAP),
        )


def _product_rows() -> Iterator[Row]:
    for number in range(1, PRODUCT_COUNT + 1):
        adjective = _ADJECTIVES[number % len(_ADJECTIVES)]
        thing = _THINGS[number % len(_THINGS)]
        stock = _spread(number, salt=5, below=500)
        yield (number, f"{adjective} {thing} no. {number}", _money(_price_cents(number)), stock)


def _items_of(order: int) -> Iterator[tuple[int, int]]:
    for position in range(3 if order % 5 < 2 else 2):
        product = 1 + _spread(order * 3 + position, salt=6, below=PRODUCT_COUNT)
        yield product, 1 + _spread(order * 3 + position, salt=7, below=4)


def _order_rows(first: int, last: int) -> Iterator[Row]:
    for number in range(first, last + 1):
        total = sum(_price_cents(product) * quantity for product, quantity in _items_of(number))
        yield (
            number,
            1 + _spread(number, salt=8, below=CUSTOMER_COUNT),
            _STATUSES[_spread(number, salt=9, below=len(_STATUSES))],
            _money(total),
            str(_OPENED + number * _ORDER_GAP),
        )


def _order_item_rows() -> Iterator[Row]:
    number = 0
    for order in range(1, ORDER_COUNT + 1):
        for product, quantity in _items_of(order):
            number += 1
            yield (number, order, product, quantity, _money(_price_cents(product)))


def _migration_log_rows() -> Iterator[Row]:
    for number in range(1, 41):
        moment = str(datetime(2023, 11, 7, 11, 0) + timedelta(minutes=number))  # noqa: DTZ001
        yield (number, moment, f"copy iteration {number}", f"Copy: {number * 125}/5000")


_ROWS: Final[dict[str, Callable[[], Iterator[Row]]]] = {
    "customers": lambda: _customer_rows(1, CUSTOMER_COUNT),
    "products": _product_rows,
    "orders": lambda: _order_rows(1, ORDER_COUNT),
    "order_items": _order_item_rows,
    "_orders_gho": lambda: ((*row, "copied") for row in _order_rows(1, 1_500)),
    "_orders_ghc": _migration_log_rows,
    "_orders_del": lambda: _order_rows(1, 2_000),
    "lhma_2023_11_07_11_49_00_000_orders": lambda: _order_rows(1, 2_500),
    "lhmn_orders": lambda: _order_rows(1, 800),
    "_customers_old": lambda: _customer_rows(1, 600),
    "_customers_new": lambda: ((*row, "") for row in _customer_rows(1, 300)),
}
