"""
Compare the tables we find with those a whole parser finds, over the servers' own suites.

`python -m tests.differential.structure [--statements N] [--seed S]` needs no server. The parser is a
second opinion in tests only: it takes 200 ms to load, fails on a seventh of what the servers
accept, and its compiled build dies on deep nesting. A table that it finds and we do not is a defect.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections.abc import Iterator

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.scope import traverse_scope

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.lexer import scan
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Effect, Flavour
from tests.differential.corpus import statements_of, test_files

RULES = {
    "mysql": LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704),
    "mariadb": LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101118),
}
ROOTS = (exp.Select, exp.SetOperation, exp.Insert, exp.Update, exp.Delete, exp.Subquery)
LONGEST = 20_000


def parsed_tables(text: str) -> set[str] | None:
    """Return the lower-case names of the tables that the parser finds, or None when it cannot say."""
    try:
        trees = sqlglot.parse(text, read="mysql")
    except (sqlglot.errors.SqlglotError, RecursionError):
        return None
    if len(trees) != 1 or not isinstance(trees[0], ROOTS) or trees[0].find(exp.Command, exp.Into):
        return None
    tree = trees[0]
    found = {table.name.lower() for table in tree.find_all(exp.Table) if table.name}
    hidden = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    if hidden and isinstance(tree, exp.Query):
        real = {
            source.name.lower()
            for scope in traverse_scope(tree)
            for _, source in scope.references
            if isinstance(source, exp.Table) and scope.sources.get(source.alias_or_name) is source
        }
        return real | (found - hidden)
    return found - hidden


def missing(statement: Statement, rules: LexicalRules) -> set[str]:
    """Return the tables that the parser finds in a statement and we do not."""
    # It reads neither comments nor hints as we do, so it gets the tokens alone.
    text = " ".join(
        token.text
        for token in scan(statement.text, rules)
        if token.kind.value not in {"space", "comment", "hint", "opening", "closing"}
    )
    theirs = parsed_tables(text)
    return set() if theirs is None else theirs - {table.name.lower() for table in statement.tables} - {"dual", ""}


def sample(flavour: str, count: int, seed: int) -> Iterator[Statement]:
    files = test_files(flavour)
    random.Random(seed).shuffle(files)
    for path in files:
        for text, _ in statements_of(path):
            found = analyse(text, RULES[flavour], schema="test")
            if len(found) == 1 and len(text) < LONGEST and not found[0].effects & {Effect.UNKNOWN, Effect.DDL}:
                yield found[0]
                count -= 1
        if count <= 0:
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("flavours", nargs="*", default=["mysql", "mariadb"])
    parser.add_argument("--statements", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    defects = 0
    for flavour in chosen.flavours:
        compared = found = 0
        for statement in sample(flavour, chosen.statements, chosen.seed):
            compared += 1
            lost = missing(statement, RULES[flavour])
            if lost:
                found += 1
                sys.stdout.write(f"  {sorted(lost)}: {' '.join(statement.text.split())[:300]}\n")
        sys.stdout.write(f"{flavour}: {compared} statements compared, {found} with a table we did not find\n")
        defects += found
    return int(defects > 0)


if __name__ == "__main__":
    sys.exit(main())
