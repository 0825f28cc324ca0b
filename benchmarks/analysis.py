"""
How fast statements are understood: `python benchmarks/analysis.py`.

Times are of the processor, not of the wall, so a busy machine changes them little.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse, analysed
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour

RULES = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704)
TYPICAL = (
    (
        "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id"
        " WHERE o.created_at > '2023-01-01' AND o.status IN ('new','paid') ORDER BY o.id DESC LIMIT 100"
    ),
    "SELECT * FROM users WHERE id = 42",
    "SHOW TABLES",
    "SELECT COUNT(*) FROM t WHERE a BETWEEN 1 AND 5 GROUP BY b HAVING COUNT(*) > 1",
    "WITH r AS (SELECT id, ROW_NUMBER() OVER (PARTITION BY x ORDER BY y) AS n FROM t) SELECT * FROM r WHERE n = 1",
    "UPDATE users SET name = 'x' WHERE id = 5",
    "SELECT table_schema, table_name, data_length + index_length FROM information_schema.tables",
)
LARGE = {
    "rows of literals": "insert into t values " + ",".join(f"({n},'abc''d{n}',NULL,3.5)" for n in range(160_000)),
    "rows with calls": "insert into t values " + ",".join(f"({n},'abc''d{n}',NULL,now())" for n in range(150_000)),
    "IN list": "select 1 from t where a in (" + ",".join(map(str, range(700_000))) + ")",
    "conditions": "select 1 from t where " + " and ".join(f"a{n}={n}" for n in range(250_000)),
    "conditions on metadata": (
        "select data_length from information_schema.tables where "
        + "(" * 50
        + "table_schema = 'a' and " * 40_000
        + "1"
        + ")" * 50
    ),
    "one string": "select '" + "x''" * 1_600_000 + "'",
    "parentheses": "(" * 5_000_000,
    "open strings": "'a\\" * 1_600_000,
    "comments": "/**/" * 1_250_000 + "select 1",
}


def main() -> None:
    for text in TYPICAL:
        analyse(text, RULES)
    started, count = time.process_time(), 0
    while time.process_time() - started < 3:
        for text in TYPICAL:
            analyse(text, RULES)
        count += len(TYPICAL)
    print(f"typical statements: {count / (time.process_time() - started):,.0f} a second on one core")
    for name, text in LARGE.items():
        started = time.process_time()
        statement = analyse(text, RULES)[0]
        seconds = time.process_time() - started
        words = ",".join(sorted(statement.effects))
        print(f"{name}: {len(text) / 1e6:.1f} MB in {seconds:.2f} s, {statement.kind}, {words}")
    started = time.process_time()
    count = sum(1 for _ in analysed("SELECT 1;\n" * 524_288, RULES))
    print(f"one statement {count:,} times: 5.2 MB in {time.process_time() - started:.2f} s")


if __name__ == "__main__":
    main()
