"""What completion writes is what the servers accept: every keyword and odd names, as columns, tables and aliases."""

import re

import pytest
from msgspec.structs import replace
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from safeconsole.console.commands import command_arguments
from safeconsole.console.completing import FUNCTIONS, KEYWORDS, SqlCompleter, quoted
from safeconsole.console.learning import NameRefresher, glance_through
from safeconsole.console.names import SchemaNames
from safeconsole.dialects import DIALECTS
from safeconsole.dialects.queries import columns_sql
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour
from tests.harness.desk import Desk, seated
from tests.harness.terminal import Terminal

ODD = ["MixedCase", "mixedcase2", "odd name", "a`b", "dot.ted", "9lives", "1e5", "$", "a$b$c", "_utf8mb4", "_x", "é", "日本",
       "it's", 'dou"ble', "per%cent", "semi;colon", "--", "/*", "back\\slash", "@x", "N", "x", "b", "-1"]  # fmt: skip


def words_of(cursor):
    cursor.execute("SELECT word FROM information_schema.keywords")
    told = {str(row[0]).upper() for row in cursor.fetchall()}
    every = told | KEYWORDS | FUNCTIONS | set().union(*(dialect.reserved for dialect in DIALECTS.values()))
    return sorted(word for word in every if re.fullmatch(r"\w+", word))


def test_every_keyword_and_every_odd_name_is_written_as_the_server_takes_it(cluster):
    dialect = DIALECTS[Flavour(cluster.flavour)]
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        for name in [*words_of(cursor), *(word.lower() for word in dialect.reserved), *ODD]:
            raw, written = "`" + name.replace("`", "``") + "`", quoted(name, dialect)
            cursor.execute(
                f"SELECT a, {written}, {written}.{written}, c FROM (SELECT 1 AS a, 7 AS {raw}, 3 AS c) AS {written} "
                f"GROUP BY a, {written}, c ORDER BY {written}"
            )
            assert cursor.fetchall() == ((1, 7, 7, 3),), name
            if name in ODD or name in dialect.reserved:
                cursor.execute(f"WITH {written} AS (SELECT 1 AS x) SELECT x FROM {written}")
                assert cursor.fetchall() == ((1,),), name


def test_names_are_quoted_only_where_they_must_be(cluster):
    """A word that the server takes without quotes, in every place, is not in the list but where another version has it."""
    dialect = DIALECTS[Flavour(cluster.flavour)]
    # Right after SELECT the last three mean something else.
    of_others = {"ROW_NUMBER", "SQL_BUFFER_RESULT", "SQL_CACHE", "SQL_NO_CACHE"}
    needless = set()
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        for word in sorted(word for word in dialect.reserved if not word.startswith("_")):
            try:
                cursor.execute(
                    f"SELECT a, {word}, b FROM (SELECT 1 AS a, 'x' AS `{word}`, 2 AS b) AS t WHERE {word} = 'x'"
                )
                if cursor.fetchall() == ((1, "x", 2),):
                    cursor.execute(f"SELECT {word}.a FROM (SELECT 1 AS a) AS {word}")
                    needless.add(word)
            except dba.Error:
                continue
    assert needless <= of_others


def test_what_is_learnt_is_completed_as_the_server_takes_it(cluster, tmp_path):
    dialect = DIALECTS[Flavour(cluster.flavour)]
    rules = LexicalRules(dialect=dialect)
    tables = ("CREATE TABLE `Rank` (`id` INT PRIMARY KEY, `Groups` INT, a INT, b INT, UNIQUE (a, b))",
              "CREATE TABLE `Rank Items` (`rank_id` INT, x INT, y INT, FOREIGN KEY (`rank_id`) REFERENCES `Rank` (`id`), "
              "FOREIGN KEY two (x, y) REFERENCES `Rank` (a, b))")  # fmt: skip
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("CREATE DATABASE IF NOT EXISTS `Odd Schema`")
        cursor.execute("GRANT SELECT ON `Odd Schema`.* TO 'console_read'@'%'")
        cursor.execute("USE `Odd Schema`")
        for sql in tables:
            cursor.execute(sql)
    try:
        with seated(cluster, tmp_path / "desk", to="primary", justification=None) as desk:
            desk.run("USE `Odd Schema`")
            names = SchemaNames()
            refresher = NameRefresher(glance=glance_through(desk.session), directory="")
            (last,) = desk.session.split("SELECT * FROM `Rank`, `Rank Items`")
            for _ in range(4):
                status = replace(desk.session.status(), role="replica", to="")
                names = refresher.refresh(names, status, dialect, last)
            assert names.tables == ["Rank", "Rank Items"]
            assert "Odd Schema" in names.schemas
            completer = SqlCompleter(lambda: rules, lambda: names, {})

            def first(text):
                found = completer.get_completions(Document(text, len(text)), CompleteEvent(completion_requested=True))
                chosen = next(iter(found))
                return text[: len(text) + chosen.start_position] + chosen.text

            text = first("SELECT COUNT(*) FROM ran")
            text = first(f"{text} r JOIN `rank i")
            on = first(f"{text} i ON ")
            assert desk.run(on).table == [("0",)] or desk.run(on).table == [(0,)]
            assert {key.columns for key in names.keys["Rank Items"]} == {("rank_id",), ("x", "y")}
    finally:
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("DROP DATABASE `Odd Schema`")


def test_the_first_statement_is_completed_before_anything_was_asked(cluster, tmp_path):
    """A console that has no names yet asks a replica for them while its person types."""
    with seated(cluster, tmp_path / "desk"):
        pass
    terminal = Terminal(tmp_path / "desk" / "config.toml")
    try:
        terminal.wait_for(lambda: "shop" in terminal.said())
        desk = Desk(None, None, tmp_path / "desk" / "audit")
        terminal.type("SELECT COUNT(*) FROM cu")
        terminal.wait_for(lambda: len(desk.records("outcome")) >= 2)
        terminal.type("s")
        terminal.wait_for(lambda: "customers" in terminal.said())
        # What the console asked for itself is not where the person is.
        assert "replica-" not in terminal.said()
        terminal.type("\t;\r")
        by_person = "select count(*) from customers"
        terminal.wait_for(lambda: by_person in {record["sql"].lower() for record in desk.records("asked")})
        terminal.type("\\quit\r")
        assert terminal.leaves() == 0
    finally:
        terminal.close()
    asked = desk.records("asked")
    assert [each["by_console"] for each in asked[:2]] == [True, True]
    numbers = {each["statement"] for each in asked if each["by_console"]}
    decided = [each for each in desk.records("decided") if each["statement"] in numbers]
    assert {each["node"] for each in decided} <= {node.name for node in cluster.replicas}
    assert {each["outcome"] for each in desk.records("outcome")} == {"done"}


class Typist:
    """Completes what a person types by names learnt from a server, and has the server run it.

    Every table has a column `id` and a row that says which table it is.
    """

    def __init__(self, cursor, dialect, names):
        self.cursor, self.dialect = cursor, dialect
        self.completer = SqlCompleter(lambda: LexicalRules(dialect=dialect), lambda: names, command_arguments())

    def offered(self, text):
        """What is offered at the mark `|` in a text, and the text with it."""
        before, _, after = text.partition("|")
        document = Document(before + after, len(before))
        for found in self.completer.get_completions(document, CompleteEvent(completion_requested=True)):
            yield found.text, before[: len(before) + found.start_position] + found.text + after

    def told(self, text, name):
        """The server's answer to a text completed with a name."""
        written = {quoted(name, self.dialect), self.dialect.quoted(name)}
        self.cursor.execute(next(whole for offer, whole in self.offered(text) if offer in written))
        return self.cursor.fetchall()

    def begun(self, name):
        """Ways to type a name: all of it, most of it, and behind a backtick."""
        escaped = name.replace("`", "``")
        yield f"`{escaped}"
        if re.fullmatch(r"[^\W\d][\w$]*", name):
            yield name
            yield from {name[:-1]} - {""}


@pytest.fixture
def typist(cluster, tmp_path):
    """A typist in a schema with a table of columns of all those names, and tables of the odd ones."""
    dialect = DIALECTS[Flavour(cluster.flavour)]
    words = sorted(word.lower() for word in dialect.reserved)
    columns = [*words, *(name for name in ODD if name.lower() not in words)]
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS `Completed Names`")
        cursor.execute("CREATE DATABASE `Completed Names` CHARACTER SET utf8mb4")
        cursor.execute("GRANT SELECT ON `Completed Names`.* TO 'console_read'@'%'")
        cursor.execute("USE `Completed Names`")
        made = ", ".join(f"{dialect.quoted(name)} SMALLINT DEFAULT {at}" for at, name in enumerate(columns))
        cursor.execute(f"CREATE TABLE `All Words` ({made})")
        cursor.execute("INSERT INTO `All Words` () VALUES ()")
        for at, name in enumerate(ODD):
            cursor.execute(f"CREATE TABLE {dialect.quoted(name)} (id INT DEFAULT {at}) ENGINE=MEMORY")
            cursor.execute(f"INSERT INTO {dialect.quoted(name)} () VALUES ()")
        try:
            with seated(cluster, tmp_path / "desk", to="primary", justification=None) as desk:
                desk.run("USE `Completed Names`")
                names = SchemaNames()
                refresher = NameRefresher(glance=glance_through(desk.session), directory="")
                (last,) = desk.session.split("SELECT * FROM `All Words`")
                for _ in range(5):
                    status = replace(desk.session.status(), role="replica", to="")
                    names = refresher.refresh(names, status, dialect, last)
            assert set(names.tables) == {"All Words", *ODD}
            assert list(names.columns["All Words"]) == columns
            # The server's words as tables, which need not be kept.
            words = [word for word in words if word not in ODD]
            for at, name in enumerate(words):
                cursor.execute(f"CREATE TEMPORARY TABLE {dialect.quoted(name)} (id INT DEFAULT {at}) ENGINE=MEMORY")
                cursor.execute(f"INSERT INTO {dialect.quoted(name)} () VALUES ()")
            names.set_tables([*names.tables, *words])
            typist = Typist(cursor, dialect, names)
            typist.columns, typist.words, typist.names = columns, words, names
            yield typist
        finally:
            cursor.execute("DROP DATABASE `Completed Names`")


def test_every_reserved_word_and_odd_name_is_completed_and_accepted(typist):
    for at, name in enumerate(typist.columns):
        for begun in typist.begun(name):
            assert typist.told(f"SELECT {begun}| FROM `All Words`", name) == ((at,),), f"{name}: {begun}"
    for tables in (ODD, typist.words):
        for at, name in enumerate(tables):
            for begun in typist.begun(name):
                assert typist.told(f"SELECT id FROM {begun}|", name) == ((at,),), f"{name}: {begun}"


def test_names_are_completed_wherever_they_stand(typist):
    """Behind an alias, a schema, WITH and in a subquery; the arguments of commands; variables of the server."""
    dialect = typist.dialect
    for at, name in enumerate(typist.columns):
        if name in ODD:
            escaped, written = name.replace("`", "``"), quoted(name, dialect)
            for text in (
                f"SELECT {written}.`{escaped}| FROM `All Words` AS {written}",
                f"SELECT x.`{escaped}| FROM (SELECT {written} FROM `All Words`) AS x",
                f"WITH {written} AS (SELECT * FROM `All Words`) SELECT {written}.`{escaped}| FROM {written}",
            ):
                assert typist.told(text, name) == ((at,),), text
            cte = f"WITH {written} AS (SELECT 7 AS x) SELECT x FROM `{escaped}|"
            assert typist.told(cte, name) == ((7,),), cte
            schema = f"SELECT id FROM `Completed Names`.`{escaped}|"
            assert typist.told(schema, name) == ((ODD.index(name),),), schema
    typist.told("USE Compl|", "Completed Names")
    described = next(whole for offer, whole in typist.offered("\\d All|") if offer == "`All Words`")
    typist.cursor.execute(columns_sql(dialect, described.removeprefix("\\d ")))
    assert len(typist.cursor.fetchall()) == len(typist.columns)


def test_every_variable_that_is_offered_is_there(typist):
    offered = set()
    for letter in "abcdefghijklmnopqrstuvwxyz":
        for name, whole in typist.offered(f"SELECT @@{letter}|"):
            offered.add(name)
            typist.cursor.execute(whole)
            typist.cursor.fetchall()
        for name, _ in typist.offered(f"SET {letter}|"):
            typist.cursor.execute(f"SELECT @@SESSION.{name}")
            typist.cursor.fetchall()
    assert {"hostname", "version", "read_only", "sort_buffer_size"} <= offered
    (_, whole), *_ = typist.offered("SET group_con|")
    typist.cursor.execute(f"{whole} = 300000")
