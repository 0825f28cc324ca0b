"""The way out of a refusal is a command that can be copied: with the cluster's own name."""

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.policy.decision import Decision, addressed
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.policy.limits import Limits
from safeconsole.sqltext.vocabulary import Flavour, Verdict


def decision(instead):
    return Decision(verdict=Verdict.ELEVATE, rules=(), limits=Limits(), instead=instead)


@pytest.mark.parametrize(
    ("instead", "cluster", "shown"),
    [
        ("safeconsole capacity CLUSTER (page by page)", "shop", "safeconsole capacity shop (page by page)"),
        ("name one table, or `safeconsole capacity`", "shop", "name one table, or `safeconsole capacity shop`"),
        ("safeconsole capacity CLUSTER", "my shop; rm -rf", "safeconsole capacity 'my shop; rm -rf'"),
        ("safeconsole capacity CLUSTER", "CLUSTER", "safeconsole capacity CLUSTER"),
        ("safeconsole capacity CLUSTER", "", "safeconsole capacity CLUSTER"),
        ("filter by an indexed column", "shop", "filter by an indexed column"),
    ],
)
def test_the_capacity_command_names_the_cluster(instead, cluster, shown):
    assert addressed(decision(instead), cluster).instead == shown


SIZES = "SELECT table_name, data_length FROM information_schema.tables WHERE "


@pytest.mark.parametrize("flavour", [Flavour.MYSQL, Flavour.MARIADB])
@pytest.mark.parametrize(
    ("text", "option"),
    [
        (SIZES + "table_schema = 'web'", " --schema web"),
        (SIZES + 't.table_schema = "web" AND data_length > 0'.replace("t.", ""), " --schema web"),
        (SIZES + "table_schema = 'it is; x'", " --schema 'it is; x'"),
        ("SHOW TABLE STATUS FROM web", " --schema web"),
        ("SHOW TABLE STATUS IN `a b` WHERE data_length > 0", " --schema 'a b'"),
        ("SHOW TABLE STATUS", " --schema shop"),
        (SIZES + "table_schema = 'a' OR table_schema = 'b'", ""),
        (SIZES + "table_schema IN ('a', 'b')", ""),
        (SIZES + "table_schema = DATABASE()", ""),
        (SIZES + "table_schema = 'it\\'s'", ""),
        (SIZES + "table_schema = 'a\nb'", ""),
        (SIZES + "data_length > 0", ""),
        (SIZES + "table_schema = 'a' UNION SELECT table_name, 1 FROM information_schema.tables", ""),
    ],
)
def test_a_query_of_one_schema_is_answered_by_the_command_for_that_schema(text, option, flavour):
    (statement,) = analyse(text, LexicalRules(dialect=DIALECTS[flavour], version=101100), schema="shop")
    assert statement.hazards
    shown = addressed(decision("ask `safeconsole capacity`"), "shop", statement.hazards).instead
    assert shown == f"ask `safeconsole capacity shop{option}`"
