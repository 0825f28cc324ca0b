"""The tables we find, against those that a whole parser finds: over our own cases always, over the suites on request."""

import pytest

from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.vocabulary import Effect
from tests.sqltext.test_statement_cases import FILES, read_case
from tests.differential.structure import RULES, missing, parsed_tables


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_table_of_a_case_is_left_out(path):
    _, lists, _, text = read_case(path)
    for flavour in set(lists["flavours"]) & set(RULES):
        for statement in analyse(text, RULES[flavour], schema="shop"):
            if not lists["mode"] and not statement.effects & {Effect.UNKNOWN, Effect.DDL}:
                assert missing(statement, RULES[flavour]) == set()


def test_the_parser_would_notice():
    assert parsed_tables("select * from a join (select * from b) c where d in (select e from f)") == {"a", "b", "f"}
