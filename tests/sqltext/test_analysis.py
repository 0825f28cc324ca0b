"""What a text is found to be: kinds, effects, tables, functions, normal form; and what holds for every text."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import MAX_DEPTH, analyse

from safeconsole.dialects.kinds import FAMILY_KINDS
from safeconsole.dialects.sqlite import SQLITE as SQLITE_DIALECT
from safeconsole.sqltext.dialect import KindShape
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import CostClass, Effect, Flavour
from tests.sqltext.test_lexer import all_rules, texts
from safeconsole.dialects import functions

MYSQL = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704)
MYSQL57 = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=50744)
MARIADB = LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101119)
AURORA = LexicalRules(dialect=DIALECTS[Flavour.AURORA_MYSQL], version=80039)
SQLITE = LexicalRules(dialect=DIALECTS[Flavour.SQLITE])
FAMILY = [MYSQL, MARIADB]


def only(text, rules=MYSQL, schema="shop"):
    (statement,) = analyse(text, rules, schema=schema)
    return statement


def effects(text, rules=MYSQL):
    return {effect.value for statement in analyse(text, rules, schema="shop") for effect in statement.effects}


def tables(text, rules=MYSQL, schema="shop"):
    return [str(table) for table in only(text, rules, schema).tables]


def dangers(text, rules=MYSQL):
    return [hazard.id for statement in analyse(text, rules, schema="shop") for hazard in statement.hazards]


# What holds for every text.


@settings(deadline=None)
@given(texts, all_rules)
def test_no_text_makes_it_raise(text, rules):
    for statement in analyse(text, rules, schema="shop"):
        assert statement.effects
        assert statement.text in text
        if Effect.UNKNOWN in statement.effects:
            assert statement.reasons


@settings(deadline=None)
@given(texts, all_rules)
def test_a_text_with_anything_in_it_is_at_least_one_statement(text, rules):
    if not analyse(text, rules):
        assert not text.strip(" \t\n\v\f\r;\\Gg") or any(mark in text for mark in ("--", "#", "/*", "DELIMITER", "//"))


SCRIPTS = st.sampled_from(
    [
        "select 1",
        "select * from t where a = 'x;y'",
        "show tables",
        "delete from t",
        "drop table t",
        "select f()",
        "select sleep(1)",
        "call p()",
        "set @a = 1",
        "select * from t for update",
        "select data_length from information_schema.tables",
        "select `a`, 'b', 1.5, x'41' from `c_d`",
        "with a as (select 1) select * from a",
        "explain select * from t",
        "begin",
        "frobnicate",
    ]
)


@settings(deadline=None)
@given(SCRIPTS, SCRIPTS)
def test_the_strictest_statement_decides_wherever_it_stands(first, second):
    together = effects(f"{first}; {second};")
    assert together == effects(first) | effects(second)
    assert set(dangers(f"{first}; {second}")) == set(dangers(first)) | set(dangers(second))


SPACES = st.sampled_from([" ", "\n", "\t", "  ", " /* x */ ", " -- y\n", " # z\n", "/**/ ", "\r\n"])


@settings(deadline=None)
@given(
    SCRIPTS,
    st.lists(SPACES, min_size=12, max_size=12),
    st.sampled_from([str.upper, str.lower, str.title]),
    st.sampled_from(FAMILY),
)
def test_comments_case_and_space_change_nothing(text, spaces, case, rules):
    words = text.split(" ")
    plain = [word if any(mark in word for mark in "'`@") else case(word) for word in words]
    changed = "".join(word + space for word, space in zip(plain, spaces * 3, strict=False))
    before, after = only(text, rules), only(changed, rules)
    assert after.effects == before.effects
    assert after.kind == before.kind
    assert [hazard.id for hazard in after.hazards] == [hazard.id for hazard in before.hazards]
    assert [str(table).lower() for table in after.tables] == [str(table).lower() for table in before.tables]


@settings(deadline=None)
@given(SCRIPTS, st.sampled_from([str.upper, str.lower]), SPACES)
def test_the_digest_sees_neither_literals_nor_comments_nor_space(text, case, space):
    assert only(text.replace(" ", space)).digest == only(text).digest
    assert only(text.replace("1", "27").replace("'x;y'", "'z'")).digest == only(text).digest


# Kinds.


@pytest.mark.parametrize(
    "words, kind", FAMILY_KINDS.items(), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_kind_of_the_family_has_its_floor(words, kind):
    tail = {"SELECT": " 1", "USE": " x", "SHOW": " TABLES", "SET": " @a = 1", "EXPLAIN": " SELECT 1", "ANALYZE": " SELECT 1",
            "DESC": " t", "DESCRIBE": " t", "TABLE": " t"}.get(" ".join(words), "")  # fmt: skip
    if words == ("WITH",):
        pytest.skip("a WITH is the statement that follows it")
    statement = only(" ".join(words).lower() + tail)
    assert kind.effects <= statement.effects
    assert statement.kind.startswith(kind.name)


@pytest.mark.parametrize(
    "words, kind", SQLITE_DIALECT.kinds.items(), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_kind_of_sqlite_has_its_floor(words, kind):
    if kind.shape in {KindShape.PRAGMA, KindShape.QUERY}:
        pytest.skip("its effects are in its tokens")
    assert kind.effects <= only(" ".join(words), SQLITE).effects


@pytest.mark.parametrize(
    "text, kind, expected",
    [
        ("with a as (select 1) update t set x = 1", "update", {"write"}),
        ("with a as (select 1) (select * from a)", "select", {"read"}),
        ("(select 1)", "select", {"read"}),
        ("((with a as (select 1) select * from a))", "with", {"read"}),
        ("()", "unknown", {"unknown"}),
        ("(delete from t)", "unknown", {"unknown"}),
        ("(", "unknown", {"unknown"}),
        (
            "create or replace algorithm=merge definer=`a`@`b` sql security invoker view v as select 1",
            "create view",
            {"ddl"},
        ),
        ("create temporary table t (a int)", "create temporary table", {"ddl"}),
        ("create unique index i on t (a)", "create index", {"ddl"}),
        ("create user u", "create user", {"ddl", "admin"}),
        ("alter instance reload tls", "alter instance", {"ddl", "admin"}),
        ("create frobnication x", "create", {"ddl", "unknown"}),
        ("drop prepare s", "drop prepare", {"session"}),
        ("replace into t values (1)", "replace", {"write"}),
        ("show index from t", "show index", {"read"}),
        ("show create masking policy p", "show create masking", {"read"}),
        ("show frobnications", "show", {"read", "unknown"}),
        ("flush tables with read lock", "flush", {"admin", "lock"}),
        ("start replica", "start", {"admin"}),
        ("start transaction with consistent snapshot", "start transaction", {"session"}),
        ("rollback to savepoint a", "rollback", {"session"}),
        ("commit and no chain", "commit", {"session"}),
        ("commit delete from t", "commit", {"session", "unknown"}),
        ("begin delete from t", "begin", {"session", "unknown"}),
        ("xa recover", "xa recover", {"read"}),
        ("xa prepare 'x'", "xa", {"write", "session"}),
        ("", None, None),
    ],
)
def test_a_statement_is_of_the_kind_its_words_say(text, kind, expected):
    if kind is None:
        assert analyse(text, MYSQL) == ()
        return
    assert only(text).kind == kind
    assert effects(text) == expected


def test_a_use_changes_the_schema_of_what_follows():
    first, second, third = analyse("use `b c`; select * from t; select * from d.t", MYSQL, schema="a")
    assert [str(table) for table in second.tables] == ["b c.t"]
    assert [str(table) for table in third.tables] == ["d.t"]
    assert first.kind == "use"


def test_a_table_without_any_schema_says_so():
    assert only("select * from t", schema="").tables[0].schema is None


def test_vertical_is_kept():
    assert [statement.vertical for statement in analyse("select 1\\G select 2;", MYSQL)] == [True, False]


@pytest.mark.parametrize(
    "text, rows",
    [("select 1", True), ("select 1 into @a", False), ("delete from t", False), ("delete from t returning *", True), ("show tables", True),
     ("do 1", False), ("set @a = 1", False), ("call p()", True), ("explain select 1", True), ("use a", False), ("create table t (a int)", False)],
)  # fmt: skip
def test_it_is_known_whether_rows_come_back(text, rows):
    assert only(text, MARIADB).returns_rows is rows


# Tables.


@pytest.mark.parametrize(
    "text, expected",
    [
        ("select 1", []),
        ("select 1 from dual", []),
        ("select * from a", ["shop.a"]),
        ("select * from b.a", ["b.a"]),
        ("select * from `b c` . `a`", ["b c.a"]),
        ("select * from INFORMATION_SCHEMA.engines", ["information_schema.engines"]),
        ("select * from a x, b as y, c.d", ["shop.a", "shop.b", "c.d"]),
        ("select * from a join b on a.x = b.x left join c using (y), d", ["shop.a", "shop.b", "shop.c", "shop.d"]),
        ("select * from a natural join b straight_join c cross join e", ["shop.a", "shop.b", "shop.c", "shop.e"]),
        ("select * from (a, b) join (c join d on 1) on 1", ["shop.a", "shop.b", "shop.c", "shop.d"]),
        ("select * from ((a))", ["shop.a"]),
        ("select * from (select * from a) d, b", ["shop.a", "shop.b"]),
        ("select * from a where x in (select y from b where z = (select 1 from c))", ["shop.a", "shop.b", "shop.c"]),
        ("select (select 1 from a), b from c", ["shop.a", "shop.c"]),
        ("select 1 from a union select 2 from b union (select 3 from c)", ["shop.a", "shop.b", "shop.c"]),
        ("with x as (select * from a) select * from x, b", ["shop.a", "shop.b"]),
        ("with t1 as (select * from t1) select * from t1", ["shop.t1"]),
        ("with recursive t1 as (select 1 union select * from t1) select * from t1", []),
        ("with x (p, q) as (select 1, 2 from a), y as (select * from x) select * from y join z", ["shop.a", "shop.z"]),
        ("select * from (with x as (select 1) select * from x) d, x", ["shop.x"]),
        ("select extract(day from d), trim(leading 'x' from y), substring(z from 2 for 3) from a", ["shop.a"]),
        ("select a, b from t order by c, d", ["shop.t"]),
        ("select a from t group by b, c having d, e", ["shop.t"]),
        ("select * from a use index (i, j), b", ["shop.a", "shop.b"]),
        ("select * from a partition (p0, p1), b", ["shop.a", "shop.b"]),
        ("select * from {oj a left outer join b on 1}", ["shop.a", "shop.b"]),
        ("select * from a, lateral (select * from b) c", ["shop.a", "shop.b"]),
        ("select * from json_table('[]', '$' columns (a int path '$')) x, b", ["shop.b"]),
        ("select * from a for update of a", ["shop.a"]),
        ("select 1 into @x from a", ["shop.a"]),
        ("select x from a where b is distinct from c", ["shop.a"]),
        ("select * from a join b on a.group = b.order, c where a.from = 1", ["shop.a", "shop.b", "shop.c"]),
        ("select * from a window, b", ["shop.a", "shop.b"]),
        ("select sum(x) over w from a window w as (order by b), v as (order by c)", ["shop.a"]),
        ("table a", ["shop.a"]),
        ("insert into a (b, c) values (1, 2)", ["shop.a"]),
        ("insert a values (1)", ["shop.a"]),
        ("insert ignore into b.a select * from c", ["b.a", "shop.c"]),
        ("insert into a set b = (select 1 from c) on duplicate key update d = 1", ["shop.a", "shop.c"]),
        ("replace low_priority into a values (1),(2)", ["shop.a"]),
        ("update a set b = 1 where c in (select d from e)", ["shop.a", "shop.e"]),
        ("update a, b join c on 1 set a.x = 1", ["shop.a", "shop.b", "shop.c"]),
        ("delete from a where b = 1", ["shop.a"]),
        ("delete from a using a join b on 1", ["shop.a", "shop.b"]),
        ("delete quick a, b from c", ["shop.a", "shop.b", "shop.c"]),
        ("load data infile 'x' into table a (b, c)", ["shop.a"]),
        ("truncate a", ["shop.a"]),
        ("truncate table b.a", ["b.a"]),
        ("drop table if exists a, b.c", ["shop.a", "b.c"]),
        ("create table if not exists a (b int)", ["shop.a"]),
        ("create table a as select * from b", ["shop.a", "shop.b"]),
        ("create table a like b", ["shop.a"]),
        ("alter table a add column b int, drop column c", ["shop.a"]),
        ("create index i on a (b, c)", ["shop.a"]),
        ("create view v as select * from a", ["shop.v", "shop.a"]),
        ("rename table a to b", ["shop.a", "shop.b"]),
        ("optimize table a, b", ["shop.a", "shop.b"]),
        ("analyze table a", ["shop.a"]),
        ("check table a, b extended", ["shop.a", "shop.b"]),
        ("lock tables a read, b as c write", ["shop.a", "shop.b"]),
        ("handler a open", ["shop.a"]),
        ("explain select * from a", ["shop.a"]),
        ("explain a", ["shop.a"]),
        ("desc b.a c", ["b.a"]),
        ("show columns from a", ["shop.a"]),
        ("show columns from a from b", ["b.a"]),
        ("show index in b.a", ["b.a"]),
        ("show index", []),
        ("show create table if not exists a", ["shop.a"]),
        ("with a (b", []),
        ("show create table a", ["shop.a"]),
        ("show tables from b", []),
        ("show tables where x in (select y from a)", ["shop.a"]),
        ("set @a = (select max(b) from c)", ["shop.c"]),
    ],
)
def test_the_tables_a_statement_names_are_found(text, expected):
    assert tables(text) == expected


# Functions.


@pytest.mark.parametrize(
    "text",
    [
        "select count(*), max(a) over (partition by b)",
        "select a in (1, 2), b between (1) and (2), not (c), (d) and (e) or (f) xor (g)",
        "select * from t where exists (select 1) and a = any (select 1) and b > all (select 2)",
        "select cast(a as char(10)), cast(b as decimal(10, 2)), convert(c, binary(4)), cast(d as datetime(6))",
        "select * from t where match (a, b) against ('x' in boolean mode)",
        "select * from t where match a, t.b against ('x')",
        "select * from t use index (i) force index for join (j) ignore key (k)",
        "select * from (select 1) as d (a), (values row(1)) as e (b)",
        "with a (b, c) as (select 1, 2), d (e) as (select 3) select * from a",
        "select 1 union (select 2) except (select 3) intersect (select 4)",
        "select row(1, 2) = (3, 4), interval (1) day + a",
        "select if(a, b, c), left(a, 1), replace(a, b, c), insert(a, 1, 2, b), repeat(a, 2), mod(a, 2), char(65), values(a)",
        "select * from t partition (p)",
        "select group_concat(a order by b separator '')",
        "select a from t order by (b), (c)",
        "select distinct (a) from t limit 5",
        "select sum(a) over w from t window w as (order by b)",
        "select * from a join b using (c) where (d) like ('e') escape '|'",
    ],
)
def test_what_only_looks_like_a_call_of_foreign_code_is_a_read(text):
    assert effects(text) == {"read"}, only(text).reasons


@pytest.mark.parametrize(
    "text",
    ["select f(1)", "select f (1)", "select f/**/(1)", "select a.f(1)", "select a . f (1)", "select `f`(1)", "select `a`.`f`(1)", "select count(f(1))",
     "select 1 from t where a = 1 and f(a)", "select datetimes(1)", "select against(a)", "select over(1)", "select columns(1)", "select of(1)",
     "select any(1)", "select 1 = any(f)", "select against(b, select a)", "select against(1, a)", "select materialized(1)", "select except(1)", "select größe(1)", "select `count`(1)", "select a, f(b) as (c)"],
)  # fmt: skip
def test_a_call_that_is_not_a_known_built_in_is_never_a_plain_read(text):
    assert "unknown" in effects(text)
    assert "unknown-function" in dangers(text)


@pytest.mark.parametrize(
    "name, rules, pure",
    [
        ("md5", MYSQL, False),
        ("md5", LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=80036), True),
        ("md5", LexicalRules(dialect=DIALECTS[Flavour.MYSQL]), False),
        ("md5", MARIADB, True),
        ("regexp_like", MYSQL57, False),
        ("regexp_like", MYSQL, True),
        ("regexp_like", LexicalRules(dialect=DIALECTS[Flavour.MYSQL]), False),
        ("json_value", LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=80015), False),
        ("vec_totext", MARIADB, False),
        ("vec_totext", LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=110702), True),
        ("nvl", MARIADB, True),
        ("nvl", MYSQL, False),
        ("aurora_version", AURORA, True),
        ("aurora_version", MYSQL, False),
        ("iif", SQLITE, True),
        ("if", SQLITE, False),
    ],
)
def test_a_built_in_is_pure_where_the_server_has_it(name, rules, pure):
    assert ("unknown" not in effects(f"select {name}(a)", rules)) is pure


@pytest.mark.parametrize(
    "call", ["cast(a as text)", "CAST (a AS INTEGER)", "atan2(a, 1)", "case when a then cast(b as real) end"]
)
def test_a_cast_is_a_read_in_the_embedded_engine(call):
    assert effects(f"select {call} from t", SQLITE) == {"read"}


def test_functions_are_named_in_order_each_once():
    assert only("select max(a), f(b), MAX(c), x.g(d)").functions == ("max", "f", "g")


def test_functions_of_sys_that_format_are_reads():
    assert effects("select sys.format_bytes(1)") == {"read"}
    assert "unknown" in effects("select shop.format_bytes(1)")


@pytest.mark.parametrize("name, danger", functions.IMPURE.items())
def test_a_native_function_with_side_effects_has_its_danger(name, danger):
    rules = SQLITE if name in {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"} else MARIADB
    assert danger in dangers(f"select {name}(1)", rules)


def test_no_function_is_both_pure_and_dangerous():
    pure = functions.PURE_MYSQL | functions.PURE_MARIADB | SQLITE_DIALECT.functions.pure
    assert not pure & set(functions.IMPURE)
    assert not pure & functions.WITHHELD


def test_last_insert_id_with_an_argument_changes_the_session():
    assert effects("select last_insert_id()") == {"read"}
    assert effects("select last_insert_id(5)") == {"read", "session"}


@pytest.mark.parametrize("rules", [MYSQL, MARIADB])
@pytest.mark.parametrize(
    "text",
    [
        "select * from json_table('[1,2]', '$[*]' columns (a int path '$')) jt",
        "select * from t, json_table(t.doc->'$.a', '$[*]' columns (a datetime(6) path '$')) jt",
        "select * from json_table('[1,2]', '$[*]' columns (nested path '$.b' columns (c nchar(4) path '$'))) jt",
        "select i from t group by grouping sets ((i))",
        "select json_arrayagg(i) over w from t window w as ()",
        "select first_value(a) respect nulls over (order by a) from t",
        "select nth_value(a, 2) from first ignore nulls over (order by a) from t",
        "select nth_value(a, 2) from last over (order by a) from t",
        "select sql_no_cache (a + 1) from t",
        "select distinct sql_no_cache (a + 1) from t",
        "select /*+ bka(t) */ sql_buffer_result (a) from t",
        "select convert(c, datetime(6)), convert(c, nchar(4)), cast(c as nchar(4)) from t",
        "select * from {oj (t1 left join t2 on t1.a = t2.a)}",
        "select * from t where a = any ((select 1) union select 2)",
        "select * from t where a < some (values row(1))",
        "select * from t, lateral (values row(t.a)) v",
        "select 1 except (table t)",
        "select a like 'a%' escape ('|'), 2 like 2 escape (3 is false) from t",
        "select * from t tablesample system (10)",
        "select $1, $t.$a from $t",
    ],
)
def test_a_word_of_the_grammar_before_a_parenthesis_is_no_call(text, rules):
    assert effects(text, rules) == {"read"}


@pytest.mark.parametrize(
    "text, rules, read",
    [
        # Grammar since that version, a stored function's name before it and on the sister.
        ("select grouping(i) from t group by rollup(i)", MYSQL, True),
        ("select a from t group by cube(a)", MYSQL, True),
        ("select a from t qualify (rank() over ()) > 1", MYSQL, True),
        ("select a from t group by rollup(a)", MYSQL57, False),
        ("select a from t group by rollup(a)", MARIADB, False),
        ("select cube(a) from t", MARIADB, False),
        ("select qualify(a) from t", MARIADB, False),
        # The same words elsewhere are names of stored functions: MariaDB calls every one of them.
        ("select 1, sql_no_cache(1)", MARIADB, False),
        ("select sql_cache(1)", MYSQL, False),
        ("select escape(1)", MARIADB, False),
        ("select a escape(1)", MARIADB, False),
        ("select columns(1)", MARIADB, False),
        ("select system(1)", MARIADB, False),
        ("select sets(1)", MARIADB, False),
        ("select oj(1)", MARIADB, False),
        ("select lateral((select 1))", MARIADB, False),
        ("select lateral(values(a))", MARIADB, False),
        ("select over(1)", MYSQL57, False),
        ("select nulls over(1)", MYSQL57, False),
        # NULL on MariaDB, two characters long whatever follows.
        (r"select \N, 1, \N", MARIADB, True),
        (r"select \Nfrom t", MARIADB, True),
        (r"select \Ninto outfile 'x'", MARIADB, False),
        (r"select \N", MYSQL, False),
        (r"select \n", MARIADB, False),
        # A second $ may open a quoted text.
        ("select $a$ from t", MYSQL, False),
        ("select $\u00e9$ from t", MYSQL, False),
        ("select $a$ from t", MARIADB, True),
    ],
)
def test_what_a_word_means_before_a_parenthesis_depends_on_its_place_and_the_server(text, rules, read):
    assert (effects(text, rules) == {"read"}) is read


@pytest.mark.parametrize(
    "text, expected",
    [
        ("select nth_value(a, 2) from first over (order by a), b from t", ["t"]),
        ("select nth_value(a, 2) from last respect nulls over (order by a), b from t", ["t"]),
        ("select f(a) from first over, information_schema.tables", ["first", "information_schema.tables"]),
        ("select a from first, information_schema.tables", ["first", "information_schema.tables"]),
        ("select * from {oj (t1 left join t2 on t1.a = t2.a)}, t3", ["t1", "t2", "t3"]),
        ("select * from json_table('[1]', '$' columns (a int path '$')) j, t", ["t"]),
    ],
)
def test_tables_are_found_around_words_of_the_grammar(text, expected):
    (found,) = analyse(text, MYSQL)
    assert [str(table) for table in found.tables] == expected


# Clauses, hints, settings.


@pytest.mark.parametrize(
    "text, rules, expected",
    [
        ("select 1 into outfile 'x'", MYSQL, {"read", "write"}),
        ("select 1 into @a, @b", MYSQL, {"read", "session"}),
        ("select 1 into a", MYSQL, {"read", "unknown"}),
        ("select @a := 1", MYSQL, {"read", "session"}),
        ("select * from t for update", MYSQL, {"read", "lock"}),
        ("select * from t for no key update", MYSQL, {"read", "lock"}),
        ("select * from t lock in share mode", MYSQL, {"read", "lock"}),
        ("select * from t for system_time all", MARIADB, {"read"}),
        ("select next value for s", MARIADB, {"read", "write"}),
        ("select previous value for s", MARIADB, {"read"}),
        ("select default(a) from t", MARIADB, {"read", "unknown"}),
        ("select default(a) from t", MYSQL, {"read"}),
        ("select * from (delete from t) a", MYSQL, {"read", "write"}),
        ("select * from t procedure analyse()", MYSQL, {"read", "unknown"}),
        ("do sleep(1)", MYSQL, {"read", "session"}),
        ("select get_lock/*+ x */('a', 1)", MYSQL, {"read", "lock"}),
        ("select get_lock/*! */ /*+ x */('a', 1)", MARIADB, {"read", "lock"}),
        ("select f/*+ x */(1)", MYSQL, {"read", "unknown"}),
        ("select shop.select/*+ x */(1)", MYSQL, {"read", "unknown"}),
        ("select * from t for /*+ x */ update", MYSQL, {"read", "lock"}),
        ("select * from t lock /*+ x */ in share mode", MARIADB, {"read", "lock"}),
        ("select 1 into /*+ x */ outfile 'x'", MYSQL, {"read", "write"}),
        ("select next /*+ x */ value for s", MARIADB, {"read", "write"}),
        ("/*+ x */ select 1", MYSQL, {"read"}),
        ("/*+ x */ drop table t", MYSQL, {"ddl"}),
        ("set statement group_concat_max_len = 10 for select 1", MARIADB, {"read", "session"}),
        ("set statement group_concat_max_len = 10 for drop table t", MARIADB, {"session", "ddl", "unknown"}),
        ("set statement group_concat_max_len = 10", MARIADB, {"session", "unknown"}),
        ("explain update t set a = 1", MYSQL, {"read", "write"}),
        ("explain format=json into @p select 1", MYSQL, {"read", "session"}),
        ("explain for schema x select 1", MYSQL, {"read"}),
        ("explain", MYSQL, {"read", "unknown"}),
        ("explain drop table t", MYSQL, {"read", "unknown"}),
        ("explain frobnicate the whole table at once", MYSQL, {"read", "unknown"}),
        ("analyze select f()", MARIADB, {"read", "unknown"}),
        ("explain delete from t", SQLITE, {"read"}),
        ("pragma", SQLITE, {"unknown"}),
        ("pragma main.table_info(t)", SQLITE, {"read"}),
        ("pragma synchronous", SQLITE, {"read"}),
        ("pragma synchronous = off", SQLITE, {"unknown"}),
        ("begin immediate", SQLITE, {"session", "lock"}),
        ("vacuum into 'x'", SQLITE, {"write", "ddl"}),
    ],
)
def test_clauses_add_their_effects(text, rules, expected):
    assert effects(text, rules) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("set @a = 1", []),
        ("set @a := 1, @b = 2", []),
        ("set time_zone = 'x'", []),
        ("set session optimizer_switch = 'x', @a = 1", []),
        ("set max_execution_time = 0", ["console-owned-setting"]),
        ("set @@session . `max_execution_time` = 0", ["console-owned-setting"]),
        ("set @@`max_execution_time` = 0", ["console-owned-setting"]),
        ("set @a = 1, autocommit = 0", ["console-owned-setting"]),
        ("set @a = (select 1, 2), autocommit = 0", ["console-owned-setting", "outside-time-limit"]),
        ("set @old = @@unique_checks, unique_checks = 0", ["load-setting"]),
        ("/*!40014 set foreign_key_checks = @old */", ["load-setting"]),
        ("set foreign_key_checks = 1, unique_checks = 0, autocommit = 0", ["load-setting", "console-owned-setting"]),
        ("set names utf8mb4", []),
        ("set names utf8mb4 collate utf8mb4_bin", ["console-owned-setting"]),
        ("set names default", ["console-owned-setting"]),
        ("set charset x", ["console-owned-setting"]),
        ("set time_zone = 'x', names utf8", ["console-owned-setting"]),
        ("set role none", ["console-owned-setting"]),
        ("set transaction read only", ["console-owned-setting"]),
        ("set global transaction read only", ["console-owned-setting"]),
        ("set global max_connections = 1", ["global-setting"]),
        ("set persist_only x = 1", ["global-setting"]),
        ("set @@persist.x = 1", ["global-setting"]),
        ("set hot.key_buffer_size = 1", ["global-setting"]),
        ("set", ["console-owned-setting"]),
        ("start transaction read write", ["console-owned-setting"]),
        ("start transaction read only", []),
        ("select /*+ set_var(time_zone='x') bka(t) */ 1", []),
        ("select /*+ max_execution_time(0) */ 1", ["limit-lifting-hint"]),
        ("select /*+ max_execution_time(1) max_execution_time(0) */ 1", ["limit-lifting-hint"]),
        ("/*! select */ /*+ max_execution_time(0) */ 1", ["limit-lifting-hint"]),
        ("/*+ max_execution_time(0) */ select 1", []),
        ("select /*+ hint_of_no_version(1) */ 1", []),
        ("select /*+ qb_name(a) */ /*+ max_execution_time(0) */ 1", []),
        ("select distinct /*+ max_execution_time(0) */ 1", []),
        ("delete /*+ set_var(sql_log_bin=0) */ from t", ["limit-lifting-hint"]),
        ("create table t as select /*+ set_var(sql_log_bin=0) */ 1", ["limit-lifting-hint"]),
    ],
)
def test_what_the_console_owns_is_not_changed_unseen(text, expected):
    assert dangers(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "set global x = 1",
        "set persist x = 1",
        "set @@global.x = 1",
        "set password = 'x'",
        "set default role x to y",
        "set resource group g",
    ],
)
def test_what_changes_the_server_for_everybody_is_administration(text):
    assert "admin" in effects(text)


# Limits of reading.


def test_parentheses_are_followed_to_a_fixed_depth():
    inside = "select " + "(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH
    assert effects(inside) == {"read"}
    beyond = only(f"select ({inside.removeprefix('select ')})")
    assert beyond.effects == {Effect.UNKNOWN}
    assert beyond.kind == "unknown"
    assert not beyond.tables_known
    assert "nested" in beyond.reasons[0]


def test_a_second_statement_inside_the_first_is_not_a_read():
    assert "unknown" in effects("delimiter //\nselect 1; select 2 //")
    assert effects("delimiter //\nselect 1; //") == {"read"}


def test_a_write_that_cannot_be_read_stays_a_write_too():
    assert only("delete from t where a = 'x").effects == {Effect.WRITE, Effect.UNKNOWN}


def test_the_comment_border_is_not_part_of_the_meaning_but_stays_in_the_text():
    statement = only("select 1 /*!50000 + 1 */")
    assert statement.text == "select 1 /*!50000 + 1 */"
    assert statement.normalised == "SELECT ? + ?"


# Normal form.


@pytest.mark.parametrize(
    "text, expected",
    [
        ("select  1,'a' from t -- x", "SELECT ?+ FROM t"),
        ("SELECT a FROM Status WHERE b = -1.5", "SELECT a FROM Status WHERE b = - ?"),
        ("select a from t where b in (1)", "SELECT a FROM t WHERE b IN ( ?+ )"),
        ("select a from t where b in (1, 2, 3)", "SELECT a FROM t WHERE b IN ( ?+ )"),
        ("insert into t values (1, 2), (3, 4), (5, 6)", "INSERT INTO t VALUES ( ?+ ) , (?+)+"),
        ("select @a, @@b, `c`", "SELECT @a , @@b , `c`"),
        ("create user u identified by 'secret'", "CREATE USER u IDENTIFIED BY ?"),
        ("select /*+ bka(t) */ 1", "SELECT /*+ bka(t) */ ?"),
    ],
)
def test_the_normal_form_holds_no_literal(text, expected):
    assert only(text).normalised == expected


def test_names_that_differ_in_case_have_digests_of_their_own():
    assert only("select * from A").digest != only("select * from a").digest


# What it costs to start.


def test_a_plain_read_loads_no_parser_library():
    code = (
        "import sys; from safeconsole.sqltext.analysis import analyse; from safeconsole.sqltext.lexer import LexicalRules;"
        "from safeconsole.dialects.mysql import MYSQL;"
        "analyse('with a as (select 1) select * from a join b', LexicalRules(dialect=MYSQL, version=90704));"
        "print([name for name in sys.modules if name.split('.')[0] in {'sqlglot', 'pymysql', 'rich', 'yaml'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


RUNS, WAITS = "run_seconds", "lock_wait_seconds"


@pytest.mark.parametrize(
    "text, asked",
    [
        ("select /*+ max_execution_time(300) */ 1", [(RUNS, 0.3)]),
        ("select /*+ Max_Execution_Time (\n300 ) */ 1", [(RUNS, 0.3)]),
        ("select /*+ max_execution_time(300) max_execution_time(90000) */ 1", [(RUNS, 0.3), (RUNS, 90.0)]),
        ("select (select /*+ max_execution_time(90000) */ 1)", [(RUNS, 90.0)]),
        (
            "select /*+ set_var(max_execution_time=300) set_var(`lock_wait_timeout` = 1) */ 1",
            [(RUNS, 0.3), (WAITS, 1.0)],
        ),
        ("select /*+ unheard_of(max_execution_time(300)) */ 1", [(RUNS, 0.3)]),
        ("set session max_execution_time = 1000", [(RUNS, 1.0)]),
        ("set @@local . max_statement_time := 0.25", [(RUNS, 0.25)]),
        ("set lock_wait_timeout = 1, innodb_lock_wait_timeout = 1", [(WAITS, 1.0), (WAITS, 1.0)]),
    ],
)
def test_a_ceiling_that_a_text_sets_is_known(text, asked):
    (found,) = analyse(text, MYSQL)
    assert [(ask.limit, ask.value) for ask in found.asks] == asked
    assert found.hazards == ()
    assert not found.effects - {Effect.READ, Effect.SESSION}


@pytest.mark.parametrize(
    "text",
    [
        "select /*+ max_execution_time(@a 300) */ 1",
        "select /*+ max_execution_time(0x10) */ 1",
        "select /*+ max_execution_time(300K) */ 1",
        "select /*+ max_execution_time('300') */ 1",
        "select /*+ max_execution_time(3e2) */ 1",
        "select /*+ set_var(max_execution_time=300K) */ 1",
        "select /*+ set_var(max_execution_time='300') */ 1",
        "select /*+ set_var(max_execution_time=default) */ 1",
        "select /*+ set_var(max_execution_time=99999999999) */ 1",
        "set max_execution_time = 1000 * 1000",
        "set max_execution_time = -1",
        "set max_execution_time = 1e3",
        "set max_execution_time = @a",
        "set max_execution_time = (1000)",
        "set max_execution_time = default",
        "set max_statement_time = 0.0001",
        "set max_statement_time = 0.0",
        "set max_execution_time = 1000, max_execution_time = 2000",
        "set lock_wait_timeout = 1, innodb_lock_wait_timeout = 2",
        "set max_session_mem_used = 8192",
        "set tmp_table_size = 1024",
        "set wait_timeout = 10",
    ],
)
def test_a_ceiling_that_cannot_be_held_exactly_lifts_a_limit(text):
    assert [hazard.cost for hazard in analyse(text, MYSQL)[0].hazards] == [CostClass.LIFTS_LIMIT]


@pytest.mark.parametrize(
    "text",
    [
        "set names utf8mb4",
        "set names 'UTF8MB4'",
        "/*!40101 set names utf8mb4 */",
        "set autocommit = 1",
        "set @@session.autocommit = ON, sql_auto_is_null = 0, foreign_key_checks = 1",
        "set completion_type = 'NO_CHAIN'",
        "set session transaction read only",
        "set session transaction_read_only = 1",
        "set character_set_results = utf8mb4",
        "set max_execution_time = 1000",
    ],
)
def test_a_set_of_what_is_held_anyway_keeps_nothing_on_its_connection(text):
    (found,) = analyse(text, MYSQL)
    assert (found.effects, found.hazards, found.keeps_nothing) == ({Effect.SESSION}, (), True)


@pytest.mark.parametrize(
    "text",
    [
        "set autocommit = 0",
        "set autocommit = 1 - 1",
        "set autocommit = default",
        "set transaction read only",
        "set @@transaction_read_only = 1",
        "set session transaction read only, isolation level serializable",
        "set session transaction_read_only = 0",
        "set foreign_key_checks = 0",
        "set sql_select_limit = default",
        "set character_set_results = null",
        "set character set utf8mb4",
        "set names latin1",
    ],
)
def test_a_set_that_may_change_what_is_held_stays_the_consoles(text):
    (found,) = analyse(text, MYSQL)
    loads = "foreign_key_checks" in text
    assert [hazard.id for hazard in found.hazards] == ["load-setting" if loads else "console-owned-setting"]
    assert {hazard.cost for hazard in found.hazards} == {CostClass.LIFTS_LIMIT}
    assert not found.keeps_nothing


def test_what_a_person_keeps_on_a_connection_beside_it_is_known():
    assert not analyse("set autocommit = 1, time_zone = 'UTC'", MYSQL)[0].keeps_nothing
    assert not analyse("set @a = 1", MYSQL)[0].keeps_nothing


@pytest.mark.parametrize(
    "rules, ignored",
    [
        (MYSQL, True),
        (LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90800), False),
        (LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=0), False),
        (MARIADB, True),
        (LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=120001), False),
    ],
)
def test_a_hint_that_nobody_knows_is_ignored_by_servers_whose_hints_are_all_known(rules, ignored):
    (found,) = analyse("select /*+ hint_of_no_version(1) */ 1", rules)
    assert [hazard.id for hazard in found.hazards] == ([] if ignored else ["limit-lifting-hint"])
    assert found.notes == (("HINT_OF_NO_VERSION() is not a hint of this server, which ignores it",) if ignored else ())
