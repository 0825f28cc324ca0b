"""What a dictionary's rows make of names: levels, circles, bounds, and what is remembered."""

import re

from safeconsole.dialects import DIALECTS
from safeconsole.mysql.estimate import MOST_NAMES, Dictionary
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import TableName
from safeconsole.sqltext.vocabulary import Effect, Flavour

RULES = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704)
_ASKED = re.compile(r"information_schema\.TABLES WHERE TABLE_SCHEMA = '([^']*)' AND TABLE_NAME = '([^']*)'")


def name(table, schema="s"):
    return TableName(schema=schema, name=table)


class Server:
    """Answers by its views (name to definition) and its tables; keeps the names of each question."""

    def __init__(self, views, tables=("t",)):
        self.views, self.tables, self.questions = views, tables, []

    def __call__(self, question):
        asked = [table for _, table in _ASKED.findall(question)]
        self.questions.append(asked)
        rows = []
        for table in asked:
            if table in self.views:
                rows += [("s", table, "VIEW", None, None), ("s", table, "DEFINITION", "a@b", self.views[table])]
            elif table in self.tables:
                rows.append(("s", table, "BASE TABLE", "InnoDB", None))
        return rows


def behind(server, *tables, dictionary=None, must_exist=True):
    names = [name(table) for table in tables]
    return (dictionary or Dictionary()).behind(server, names, RULES, must_exist=must_exist)


def test_each_level_is_one_question_and_remembered():
    server, dictionary = (
        Server({"a": "select 1 from `s`.`c` join `s`.`t`", "b": "select 1 from `s`.`c`"}, "ct"),
        Dictionary(),
    )
    found = behind(server, "a", "b", dictionary=dictionary)
    assert (found.effects, found.engines, found.views) == ({Effect.READ}, ("InnoDB",), True)
    assert server.questions == [["a", "b"], ["c", "t"]]
    assert behind(server, "b", "a", dictionary=dictionary).effects == {Effect.READ}
    assert len(server.questions) == 2


def test_a_circle_of_views_comes_to_an_end():
    server = Server({"a": "select 1 from `s`.`b`", "b": "select sleep(1) from `s`.`a`"})
    assert [hazard.id for hazard in behind(server, "a").hazards] == ["sleeps"]
    assert server.questions == [["a"], ["b"]]


def test_what_is_not_shown_is_unknown_unless_it_may_yet_be_made():
    assert Effect.UNKNOWN in behind(Server({}), "gone").effects
    assert behind(Server({}), "gone", must_exist=False).effects == frozenset()
    # Behind a view it exists, or the view could not be read.
    assert Effect.UNKNOWN in behind(Server({"a": "select 1 from `s`.`gone`"}), "a", must_exist=False).effects


def test_too_many_names_are_unknown():
    wide = ", ".join(f"`s`.`t{number}`" for number in range(MOST_NAMES))
    assert Effect.UNKNOWN in behind(Server({"a": f"select 1 from {wide}"}), "a").effects
    deep = {f"v{number}": f"select 1 from `s`.`v{number + 1}`" for number in range(20)}
    assert Effect.UNKNOWN in behind(Server(deep), "v0").effects


def test_the_servers_own_schemas_are_not_asked_for():
    server = Server({})
    names = [name("tables", "information_schema"), name("threads", "performance_schema"), name("x", None)]
    assert Dictionary().behind(server, names, RULES, must_exist=True).effects == frozenset()
    assert server.questions == []
