"""Tokens, executable comments and the cut into statements, as the servers read them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.lexer import LexicalRules, TokenKind, tokens
from safeconsole.sqltext.splitting import is_complete
from safeconsole.sqltext.splitting import LONGEST_STRETCH, MAX_TOKENS, next_inclusion, split, stretches
from safeconsole.sqltext.vocabulary import Flavour

MYSQL = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704)
MARIADB = LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101119)
SQLITE = LexicalRules(dialect=DIALECTS[Flavour.SQLITE])
ALL = [MYSQL, MARIADB, SQLITE]

texts = st.text(max_size=80) | st.lists(
    st.sampled_from(
        [
            "select",
            " ",
            "\n",
            "'",
            '"',
            "`",
            "/*",
            "*/",
            "/*!",
            "/*!50000",
            "/*M!",
            "--",
            "-- ",
            "#",
            ";",
            "\\",
            "\\G",
            "@",
            "@@",
            "1",
            "1.",
            ".5e",
            "0x",
            "x'",
            "(",
            ")",
            ",",
            "a",
            "DELIMITER //",
            "//",
            "begin",
            "end",
            "$$",
            "\u00a0",
            "\ud800",
            "é",
            "\x00",
        ]
    ),
    max_size=25,
).map("".join)
all_rules = st.builds(
    LexicalRules,
    dialect=st.sampled_from(list(DIALECTS.values())),
    version=st.sampled_from([0, 50744, 80036, 90704, 101119]),
    ansi_quotes=st.booleans(),
    no_backslash_escapes=st.booleans(),
    oracle=st.booleans(),
)


def meaning(text, rules=MYSQL):
    return [token.text for piece in split(text, rules) for token in piece.tokens]


def kinds(text, rules=MYSQL):
    return [(token.kind.value, token.text) for token in tokens(text, rules) if token.kind is not TokenKind.SPACE]


def reasons(text, rules=MYSQL):
    return [token.word for piece in split(text, rules) for token in piece.tokens if token.kind is TokenKind.UNREADABLE]


def cut(text, rules=MYSQL):
    return [piece.text for piece in split(text, rules)]


@settings(deadline=None)
@given(texts, all_rules)
def test_the_tokens_of_any_text_join_to_the_text(text, rules):
    assert "".join(token.text for token in tokens(text, rules)) == text


@settings(deadline=None)
@given(texts, all_rules)
def test_every_token_says_where_it_stands(text, rules):
    for token in tokens(text, rules):
        assert text[token.start : token.end] == token.text


alike = st.sampled_from(
    [
        "select 1;", "select 1 ;", "\nselect 1;", "select 'a;b';", "select 'a''b';", "select 'a\\'b';", "select 1.;",
        ".5;", ";", " ", "\n", "use shop\n", "use shop;", "begin;", "begin not atomic select 1; end;", "end;",
        "create procedure p() begin select 1; end;", "create trigger t select 1;", "if x then select 1; end if;",
        "delimiter ;\n", "delimiter //\n", "delimiter .\n", "delimiter select\n", "//", ".", "select 1\\G", "'", "/*",
        "*/", "/*! select */ 1;", "-- x\n", "select a.b;", "select\t(1,2),(3,4);", "x'00';", 'select "a;b";', "select `a`;",
    ]
)  # fmt: skip


def read_of(piece):
    return piece.text, piece.vertical, piece.terminated, [token[:3] for token in piece.tokens]


@settings(deadline=None)
@given(st.lists(alike, max_size=12) | texts.map(lambda text: [text, ";", text, ";", text]), all_rules)
def test_what_stands_in_a_text_again_is_the_same_piece_as_if_it_were_read_again(parts, rules):
    text = "".join(parts)
    assert [read_of(piece) for _, piece in stretches(text, rules)] == list(map(read_of, split(text, rules)))


def test_a_plain_statement_is_read_once_however_often_it_stands_there():
    text = "select 1;\nselect 'x';\nselect 2;\nselect 'x';\nselect 'x';\n" + f"select {'1' * LONGEST_STRETCH};\n" * 2
    pieces = [piece for _, piece in stretches(text, MYSQL)]
    assert pieces[1] is pieces[3] is pieces[4]
    assert pieces[5] is not pieces[6]


@settings(deadline=None)
@given(texts, all_rules)
def test_pieces_stand_in_order_and_never_overlap(text, rules):
    position = 0
    for piece in split(text, rules):
        assert piece.tokens[0].start >= position
        position = piece.tokens[-1].end


@settings(deadline=None)
@given(texts, all_rules)
def test_completeness_is_decided_for_every_text(text, rules):
    assert is_complete(text, rules) in {True, False}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("1.5", [("number", "1.5")]),
        ("1e5", [("number", "1e5")]),
        ("1e", [("word", "1e")]),
        ("1e+x", [("word", "1e"), ("operator", "+"), ("word", "x")]),
        (".5", [("number", ".5")]),
        ("0x1F", [("number", "0x1F")]),
        ("0xZ", [("word", "0xZ")]),
        ("0X1F", [("word", "0X1F")]),
        ("2t", [("word", "2t")]),
        ("x'41'", [("string", "x'41'")]),
        ("b'01'", [("string", "b'01'")]),
        ("t.1a", [("word", "t"), ("punctuation", "."), ("word", "1a")]),
        ("t.1e5", [("word", "t"), ("punctuation", "."), ("word", "1e5")]),
        ("1.from", [("number", "1."), ("word", "from")]),
        ("'a''b'", [("string", "'a''b'")]),
        ("'a\\'b'", [("string", "'a\\'b'")]),
        ("`a``b`", [("name", "`a``b`")]),
        ("@a.b$c", [("variable", "@a.b$c")]),
        ("@'x y'", [("variable", "@'x y'")]),
        ("@@global.x", [("system", "@@global"), ("punctuation", "."), ("word", "x")]),
        ("a:=1", [("word", "a"), ("operator", ":="), ("number", "1")]),
        ("a<=>b", [("word", "a"), ("operator", "<=>"), ("word", "b")]),
        ("a->>'$'", [("word", "a"), ("operator", "->>"), ("string", "'$'")]),
        ("5--1", [("number", "5"), ("operator", "-"), ("operator", "-"), ("number", "1")]),
        ("5-- 1", [("number", "5"), ("comment", "-- 1")]),
        ("5--\t1", [("number", "5"), ("comment", "--\t1")]),
        ("5--\x011", [("number", "5"), ("comment", "--\x011")]),
        ("#a\n1", [("comment", "#a"), ("number", "1")]),
        ("#a\r1", [("comment", "#a\r1")]),
        ("/*/ */1", [("comment", "/*/ */"), ("number", "1")]),
        ("2*/*c*/3", [("number", "2"), ("operator", "*"), ("comment", "/*c*/"), ("number", "3")]),
        ("/*+ a */", [("comment", "/*+ a */")]),
        ("select /*c*/ /*+ a */", [("word", "select"), ("comment", "/*c*/"), ("hint", "/*+ a */")]),
        ("f/*+ a */(", [("word", "f"), ("comment", "/*+ a */"), ("punctuation", "(")]),
        (
            "a.select/*+ a */(",
            [("word", "a"), ("punctuation", "."), ("word", "select"), ("comment", "/*+ a */"), ("punctuation", "(")],
        ),
        ("a\x0bb", [("word", "a"), ("word", "b")]),
    ],
)
def test_a_token_of_the_family_is_read_as_the_server_reads_it(text, expected):
    assert kinds(text) == expected
    assert kinds(text, MARIADB) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ('"a"', [("name", '"a"')]),
        ("[a b]", [("name", "[a b]")]),
        ("--x\n1", [("comment", "--x"), ("number", "1")]),
        ("'a\\'", [("string", "'a\\'")]),
        ("?1 :a $b", [("parameter", "?1"), ("parameter", ":a"), ("parameter", "$b")]),
        ("/*! x */", [("comment", "/*! x */")]),
        ("0X1F", [("number", "0X1F")]),
    ],
)
def test_a_token_of_sqlite_is_read_as_sqlite_reads_it(text, expected):
    assert kinds(text, SQLITE) == expected


@pytest.mark.parametrize(
    "text",
    ["'a", '"a', "`a", "/* a", "/*! a", "/*!50000 a", "a \\ b", "\u00a0", "a\u200bb", "\ufeffa", "a \x00", "@@a\u00a0b", "\U0001f600", "$a$", "1.e", "1.ex",
     "'\ud800'", "/*!5000 a */", "/*!5000000 a */", "/*!M50000 a */", "/*! ; */", "/*! /* a */ */", "/*! -- a\n */", "/*! # */"],
)  # fmt: skip
def test_what_cannot_be_read_says_why(text):
    assert reasons(text)


@pytest.mark.parametrize("rules, runs", [(MYSQL, True), (MARIADB, True), (SQLITE, False)])
def test_an_executable_comment_without_a_version_is_code_in_the_family(rules, runs):
    assert ("delete" in meaning("/*! delete */", rules)) is runs


@pytest.mark.parametrize(
    "opening, mysql, mariadb",
    [
        ("/*!50000", True, True),
        ("/*!50699", True, True),
        ("/*!50700", True, False),
        ("/*!50999", True, False),
        ("/*!80000", True, False),
        ("/*!90704", True, False),
        ("/*!90705", False, False),
        ("/*!99999", False, False),
        ("/*!100000", False, True),
        ("/*!101119", False, True),
        ("/*!101120", False, False),
        ("/*!090704", True, False),
        ("/*!500000", False, False),
        ("/*M!", False, True),
        ("/*M!100100", False, True),
        ("/*m!", False, False),
    ],
)
def test_a_versioned_comment_runs_where_the_server_runs_it(opening, mysql, mariadb):
    text = f"select 1 {opening} x */"
    assert ("x" in meaning(text)) is mysql
    assert ("x" in meaning(text, MARIADB)) is mariadb


def test_a_versioned_comment_is_unreadable_while_the_version_is_unknown():
    assert reasons("/*!50000 x */", LexicalRules(dialect=DIALECTS[Flavour.MYSQL]))
    assert not reasons("/*! x */", LexicalRules(dialect=DIALECTS[Flavour.MYSQL]))


@pytest.mark.parametrize(
    "digits, expected", [("999999", "comment"), ("050000", "unreadable"), ("080099", "unreadable")]
)
def test_six_digits_are_refused_where_servers_read_them_differently(digits, expected):
    old = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=80036)
    found = {kind for kind, _ in kinds(f"/*!{digits} x */", old)}
    assert expected in found


def test_a_comment_for_others_with_a_comment_inside_is_unreadable():
    assert reasons("/*!99999 /* x */ */")
    assert reasons("/*!99999 x")


def test_sql_mode_changes_where_a_string_ends():
    text = "'a\\' into @x -- '"
    assert meaning(text) == ["'a\\' into @x -- '"]
    assert "into" in meaning(
        text, LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704, no_backslash_escapes=True)
    )


def test_ansi_quotes_makes_a_double_quote_a_name():
    assert kinds('"a"') == [("string", '"a"')]
    assert kinds('"a"', LexicalRules(dialect=DIALECTS[Flavour.MYSQL], ansi_quotes=True)) == [("name", '"a"')]


def test_a_run_of_literals_never_hides_the_parenthesis_of_a_call():
    assert meaning("f(1),(2)")[:2] == ["f", "("]
    assert meaning("values (1,2),(3,4)") == ["values", "(", "1,2", ")", ",(3,4)"]


@pytest.mark.parametrize("rules", ALL)
@pytest.mark.parametrize(
    "text, pieces",
    [
        ("", []),
        (" ;; ; ", []),
        ("-- only a comment", []),
        ("select 1", ["select 1"]),
        ("select 1;", ["select 1"]),
        ("select 1; select 2", ["select 1", "select 2"]),
        ("select ';'; select 2", ["select ';'", "select 2"]),
        ("select 1 /* ; */; select 2", ["select 1", "select 2"]),
        ("select 1 -- ;\n; select 2", ["select 1", "select 2"]),
        ("select 1\\G select 2", ["select 1", "select 2"]),
        ("DELIMITER //\nselect 1; //\nDELIMITER ;\nselect 2;", ["select 1;", "select 2"]),
        ("delimiter $$\nselect 1$$", ["select 1"]),
        ("create trigger x after insert on t begin update t set a = 1; delete from t; end; select 2",
         ["create trigger x after insert on t begin update t set a = 1; delete from t; end", "select 2"]),
        ("begin; select 1; commit", ["begin", "select 1", "commit"]),
        ("drop table if exists a; drop table b", ["drop table if exists a", "drop table b"]),
        ("select case when 1 then 2 end; select 3", ["select case when 1 then 2 end", "select 3"]),
        ("create table t (a int); select 3", ["create table t (a int)", "select 3"]),
        ("create table t (begin int); select 3", ["create table t (begin int)", "select 3"]),
    ],
)  # fmt: skip
def test_a_text_is_cut_where_its_statements_end(text, pieces, rules):
    assert cut(text, rules) == pieces


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN SELECT 1; SELECT 2; END",
        "BEGIN IF a THEN SELECT 1; ELSEIF b THEN SELECT 2; ELSE SELECT 3; END IF; END",
        "BEGIN CASE x WHEN 1 THEN SELECT 1; ELSE SELECT 2; END CASE; END",
        "BEGIN SET a = CASE WHEN b THEN 1 END; SELECT IF(a, 1, 2); END",
        "BEGIN WHILE a DO SET a = 0; END WHILE; END",
        "BEGIN REPEAT SET a = REPEAT('x', 2); UNTIL a END REPEAT; END",
        "l: LOOP LEAVE l; END LOOP",
        "BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN SET a = 1; END; SELECT 1; END",
    ],
)
def test_a_routine_is_one_statement(body):
    text = f"CREATE PROCEDURE p() {body}"
    assert cut(f"{text}; SELECT 9") == [text, "SELECT 9"]


@pytest.mark.parametrize(
    "text",
    ["BEGIN NOT ATOMIC DELETE FROM t; END", "IF 1 THEN DELETE FROM t; END IF", "WHILE 1 DO DELETE FROM t; END WHILE",
     "FOR i IN 1..3 DO DELETE FROM t; END FOR", "LOOP DELETE FROM t; END LOOP", "REPEAT DELETE FROM t; UNTIL 1 END REPEAT"],
)  # fmt: skip
def test_a_block_outside_a_routine_is_one_statement_in_mariadb(text):
    assert cut(f"{text}; SELECT 9", MARIADB) == [text, "SELECT 9"]


@pytest.mark.parametrize(
    "text, complete",
    [
        ("", False),
        ("  -- nothing", False),
        ("select 1", False),
        ("select 1;", True),
        ("select 1\\G", True),
        ("select 1; -- done", True),
        ("select 1; select", False),
        ("select 'a;", False),
        ("select /* ;", False),
        ("create procedure p() begin select 1;", False),
        ("create procedure p() begin select 1; end;", True),
        ("delimiter //", False),
        ("delimiter //\nselect 1;", False),
        ("delimiter //\nselect 1; //", True),
    ],
)
def test_enter_sends_what_is_complete(text, complete):
    assert is_complete(text, MYSQL) is complete


def test_a_statement_of_too_many_tokens_says_so():
    assert reasons("select " + "a+" * MAX_TOKENS) == [f"longer than {MAX_TOKENS} tokens"]


def test_a_bulk_of_literals_is_a_handful_of_tokens():
    rows = ",".join(f"({number}, 'it''s', NULL, -1.5)" for number in range(5000))
    assert len(split(f"insert into t values {rows}", MYSQL)[0].tokens) < 20


# Scripts as the C client reads them.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("use db\nselect 1;", ["use db", "select 1"]),
        ("USE `odd db`  -- the main one\nselect 1", ["USE `odd db`", "select 1"]),
        ("use db\n;\nselect 1", ["use db", "select 1"]),
        ("use\ndb;select 1", ["use\ndb", "select 1"]),
        ("delimiter //\nuse db\nselect 1//", ["use db", "select 1"]),
        ("select 1 from t use\nindex (a)", ["select 1 from t use\nindex (a)"]),
        ("delimiter //\nselect 1\ndelimiter ;\nselect 2;", ["select 1", "select 2"]),
        ("delimiter //\nselect 1//\ndelimiter ;", ["select 1"]),
        ("delimiter ;;\nselect 1;;\n  DELIMITER ;\nselect 2;", ["select 1", "select 2"]),
        ("select 1 as\ndelimiter from t;", ["select 1 as\ndelimiter from t"]),
    ],
)
@pytest.mark.parametrize("rules", ALL)
def test_a_statement_ends_where_the_c_client_ends_it(text, found, rules):
    assert [piece.text for piece in split(text, rules)] == found


@pytest.mark.parametrize("rules", ALL)
@pytest.mark.parametrize(
    ("text", "name", "rest"),
    [
        ("select 1;\nsource x.sql\nselect 2;", "x.sql", "select 2;"),
        ("\\. dir/x y.sql\nselect 2", "dir/x y.sql", "select 2"),
        ("SOURCE 'x.sql';\nselect 2", "x.sql", "\nselect 2"),
        ("source a.sql; select 2;", "a.sql", " select 2;"),
        ("delimiter //\nsource x;y.sql\n", "x;y.sql", ""),
        ("source", None, ""),
        ("select 1\nsource x.sql", None, ""),
        ("select '\nsource x.sql\n'", None, ""),
        ("-- source x.sql\nselect 1", None, ""),
    ],
)
def test_a_file_is_included_where_a_statement_begins(text, name, rest, rules):
    found, _ = next_inclusion(text, rules, 0, ";")
    assert (found.name if found else None) == name
    assert found is None or text[found.end :] == rest


def test_a_delimiter_stays_in_force_behind_an_inclusion():
    found, delimiter = next_inclusion("delimiter //\nselect 1//\nsource x.sql\n", MYSQL, 0, ";")
    assert (found.name, delimiter) == ("x.sql", "//")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("select 1;\nselect\u00a0 2", "the character U+00A0 (no-break space) at line 2, column 7: type a plain space"),
        ("\ufeffselect 1", "the character U+FEFF (zero width no-break space) at line 1, column 1: remove it"),
        ("select a\u200b from t", "the character U+200B (zero width space) at line 1, column 9: remove it"),
    ],
)
@pytest.mark.parametrize("rules", ALL)
def test_an_invisible_character_is_named_with_its_place(text, reason, rules):
    assert [token.word for piece in split(text, rules) for token in piece.tokens if token.kind == "unreadable"] == [
        reason
    ]
