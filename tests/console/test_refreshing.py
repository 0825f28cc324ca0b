import threading

import pytest

from safeconsole.dialects.mysql import MYSQL
from safeconsole.errors import DeniedError, RefusedError, StoppedError
from safeconsole.policy.limits import Limits
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Statement, TableName
from safeconsole.policy.readings import Reading
from safeconsole.sqltext.vocabulary import Effect, NodeName, Role
from safeconsole.session.context import Status
from safeconsole.console.names import SchemaNames
from safeconsole.console.learning import EARLY_PAGES, PAGE_TABLES, EarlyNames, NameRefresher
from safeconsole.session.session import IN_USE

READ = Statement(
    text="SELECT 1", kind="select", effects=frozenset({Effect.READ}),
    tables=(TableName(schema="shop", name="ORDERS"), TableName(schema="elsewhere", name="t0001"), TableName(schema=None, name="nosuch")),
)  # fmt: skip


def status(role="replica", schema="shop", elevated=0.0, servers=("uuid-1", "uuid-2")):
    return Status(
        cluster="shop",
        environment="",
        node="n",
        role=role,
        schema=schema,
        elevated_seconds=elevated,
        limits=Limits(),
        to="",
        servers=frozenset(servers),
    )


KEYS = [("a", "x", "parents", "px"), ("a", "y", "parents", "py"), ("b", "z", "orders", "id")]


class Server:
    def __init__(self, tables):
        self.tables = sorted(tables)
        self.asked = []

    def __call__(self, sql):
        self.asked.append(sql)
        if sql.startswith("DESCRIBE"):
            return [("id", "int"), ("status", "text")]
        if "key_column_usage" in sql:
            return KEYS
        if sql == "SHOW VARIABLES":
            return [("Time_zone", "SYSTEM"), ("version", "9")]
        if "schemata" in sql:
            return [("app",), ("other",)]
        if "'other'" in sql:
            return [("far",)]
        after = sql.split("> '")[1].split("'")[0]
        return [(name,) for name in self.tables if name > after][:PAGE_TABLES]


def test_tables_are_learnt_a_page_at_a_time_then_columns(tmp_path):
    server = Server(["orders", *(f"t{number:04d}" for number in range(PAGE_TABLES + 10))])
    refresher = NameRefresher(glance=server, directory=str(tmp_path))
    names = SchemaNames()
    for count in (1, 2, 4, 5, 6, 6):
        names = refresher.refresh(names, status(), MYSQL, READ)
        assert len(server.asked) == count
    assert len(names.tables) == PAGE_TABLES + 11
    assert server.asked[2] == "DESCRIBE `orders`"
    assert names.columns == {"orders": ("id", "status")}
    assert names.schemas == ("app", "other")
    assert names.variables == ("time_zone", "version")
    assert [(key.columns, key.table, key.targets) for key in names.keys["orders"]] == [
        (("x", "y"), "parents", ("px", "py")),
        (("z",), "orders", ("id",)),
    ]
    later = NameRefresher(glance=server, directory=str(tmp_path)).refresh(SchemaNames(), status(role=""), MYSQL, None)
    assert later.columns == {"orders": ("id", "status")}
    assert (later.keys, later.schemas, later.variables) == (names.keys, names.schemas, names.variables)


def learnt(server, tmp_path, **where):
    """The names that a new session knows after one statement."""
    refresher = NameRefresher(glance=server, directory=str(tmp_path))
    return refresher.refresh(SchemaNames(), status(**where), MYSQL, None)


def test_names_are_those_of_the_servers_that_have_them(tmp_path):
    assert learnt(Server(["orders"]), tmp_path).tables == ["orders"]
    # A node was replaced, another is the same; nothing is asked, since nobody runs a statement on a replica.
    assert learnt(Server([]), tmp_path, role="", servers=("uuid-2", "uuid-3")).tables == ["orders"]
    # Nothing is measured yet: what was known last is better than nothing.
    assert learnt(Server([]), tmp_path, role="", servers=()).tables == ["orders"]
    # The cluster's name leads to other servers.
    assert learnt(Server([]), tmp_path, role="", servers=("uuid-9",)).tables == []
    assert learnt(Server(["other"]), tmp_path, servers=("uuid-9",)).tables == ["other"]
    assert learnt(Server([]), tmp_path, role="", servers=("uuid-1", "uuid-2")).tables == []


def test_a_session_whose_cluster_becomes_another_forgets_its_names():
    server = Server(["orders"])
    refresher = NameRefresher(glance=server, directory="")
    names = refresher.refresh(SchemaNames(), status(), MYSQL, None)
    server.tables = ["other"]
    names = refresher.refresh(names, status(servers=("uuid-9",)), MYSQL, None)
    assert names.tables == ["other"]


@pytest.mark.parametrize("where", [status(role="primary"), status(role=""), status(elevated=5.0)])
def test_nothing_is_asked_of_a_primary_or_during_an_elevation(where):
    server = Server(["orders"])
    NameRefresher(glance=server, directory="").refresh(SchemaNames(), where, MYSQL, READ)
    assert server.asked == []


def test_another_schema_is_learnt_anew():
    server = Server(["orders"])
    refresher = NameRefresher(glance=server, directory="")
    names = refresher.refresh(SchemaNames(), status(), MYSQL, None)
    server.tables = ["other"]
    names = refresher.refresh(names, status(schema="else"), MYSQL, None)
    assert names.tables == ["other"]


def test_what_is_refused_once_is_not_asked_again():
    asked = []

    def refuse(sql):
        asked.append(sql)
        raise RefusedError("no")

    refresher = NameRefresher(glance=refuse, directory="")
    for _ in range(3):
        refresher.refresh(SchemaNames(), status(), MYSQL, None)
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["it's", "back\\slash"])
def test_a_name_that_needs_escaping_is_never_put_into_a_statement(name):
    server = Server([f"a{number:04d}" for number in range(PAGE_TABLES - 1)])
    server.tables.append(name)
    refresher = NameRefresher(glance=server, directory="")
    names = refresher.refresh(SchemaNames(), status(), MYSQL, None)
    refresher.refresh(names, status(), MYSQL, None)
    assert len([sql for sql in server.asked if "tables" in sql]) == 1


def test_the_tables_of_another_schema_are_learnt_once_a_statement_named_it():
    server = Server(["orders"])
    refresher = NameRefresher(glance=server, directory="")
    names = SchemaNames()
    (statement,) = analyse("SELECT * FROM other.far", LexicalRules(dialect=MYSQL))
    for _ in range(4):
        names = refresher.refresh(names, status(), MYSQL, statement)
    assert names.elsewhere == {"other": ("far",)}
    assert len(server.asked) == 4


def test_refused_foreign_keys_leave_the_columns():
    server = Server(["orders"])

    def glance(sql):
        if "key_column_usage" in sql:
            server.asked.append(sql)
            raise RefusedError("no")
        return server(sql)

    refresher = NameRefresher(glance=glance, directory="")
    names = SchemaNames()
    for _ in range(3):
        names = refresher.refresh(names, status(), MYSQL, READ)
    assert names.columns == {"orders": ("id", "status")}
    assert len([sql for sql in server.asked if "key_column_usage" in sql]) == 1


def interrupted(sql):
    raise StoppedError("stopped by you", by="person", verified="killed")


def test_a_page_that_made_way_for_an_entry_is_asked_for_again():
    server = Server(["orders"])
    refresher = NameRefresher(glance=interrupted, directory="")
    names = refresher.refresh(SchemaNames(), status(), MYSQL, None)
    refresher.glance = server
    assert refresher.refresh(names, status(), MYSQL, None).tables == ["orders"]


class Standing:
    """A session that nothing was sent in yet."""

    def __init__(self, to="", roles=("primary", "replica"), **where):
        self.to = to
        self.readings = tuple(Reading(node=NodeName(f"{role}-1"), role=Role(role), proof="") for role in roles)
        self.now = status(role="", **where)

    def status(self):
        return self.now

    def topology(self):
        return self.readings


def begun(refresher, session, names=None):
    names, more = refresher.begin(names or SchemaNames(), session, MYSQL)
    return names.tables, more


def test_names_are_learnt_before_the_first_statement_where_none_is_kept(tmp_path):
    server = Server(["orders", *(f"t{number:04d}" for number in range(PAGE_TABLES + 10))])
    refresher = NameRefresher(glance=server, directory=str(tmp_path))
    shown = SchemaNames()
    whole = PAGE_TABLES + 11
    for tables, more in ((PAGE_TABLES, True), (whole, True), (whole, True), (whole, False)):
        before = shown.tables
        names, goes_on = refresher.begin(shown, Standing(), MYSQL)
        # What the prompt completes by meanwhile is left as it is.
        assert (len(names.tables), goes_on, shown.tables) == (tables, more, before)
        shown = names
    assert len(server.asked) == 4
    # What is kept is not asked for at the beginning.
    assert begun(NameRefresher(glance=server, directory=str(tmp_path)), Standing()) == (names.tables, False)
    assert len(server.asked) == 4
    assert begun(NameRefresher(glance=server, directory=str(tmp_path)), Standing(servers=("uuid-9",)))[1]
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    "session",
    [Standing(to="primary"), Standing(to="primary-1"), Standing(roles=("primary",)), Standing(roles=("unknown",))],
)
def test_no_primary_is_asked_for_names_before_the_first_statement(session):
    server = Server(["orders"])
    assert begun(NameRefresher(glance=server, directory=""), session) == ([], False)
    assert server.asked == []


@pytest.mark.parametrize("to", ["replica", "replica-1"])
def test_the_replica_that_a_person_goes_to_is_asked(to):
    assert begun(NameRefresher(glance=Server(["orders"]), directory=""), Standing(to=to))[0] == ["orders"]


def test_an_entry_stops_the_question_that_is_being_answered():
    asked, stopped = threading.Event(), threading.Event()

    def learn():
        asked.set()
        assert stopped.wait(20)
        return True

    names = EarlyNames(learn, stopped.set)
    thread = threading.Thread(target=names.learn)
    thread.start()
    assert asked.wait(20)
    names.make_way()
    asked.clear()
    thread.join(20)
    assert not thread.is_alive()
    assert not asked.is_set()


def test_nothing_is_asked_once_something_was_typed():
    asked = []
    names = EarlyNames(lambda: asked.append(1), asked.clear)
    names.make_way()
    names.learn()
    assert asked == []


def test_a_prompt_that_uses_the_session_just_then_is_no_refusal():
    answers = iter([DeniedError("in use", code=IN_USE), True, RefusedError("no"), True])
    left = []

    def learn():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    EarlyNames(learn, left.clear).learn()
    assert list(answers) == [True]


def test_a_large_schema_is_not_learnt_whole_before_the_first_statement():
    asked = []
    EarlyNames(lambda: asked.append(1) or True, asked.clear).learn()
    assert len(asked) == EARLY_PAGES
