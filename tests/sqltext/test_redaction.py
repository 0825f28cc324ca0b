"""What a statement may say in the journal."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.literal_rules import DROP_EVERYTHING, HASHED, KEPT, LiteralKey
from safeconsole.sqltext.literal_rules import Handling
from safeconsole.sqltext.redaction import LEFT_OUT, is_secret_bearing, redacted, redacted_message
from safeconsole.sqltext.vocabulary import Flavour

RULES = [
    LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704),
    LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101119),
    LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=80400, ansi_quotes=True, no_backslash_escapes=True),
    LexicalRules(dialect=DIALECTS[Flavour.SQLITE]),
]
MYSQL = RULES[0]
PLAIN = Handling(rules=MYSQL)
KEY = LiteralKey(secret=b"a key that the test has")
ALL = pytest.mark.parametrize("literals", [KEPT, HASHED, DROP_EVERYTHING], ids=["keep", "hash", "drop"])

PLANTED = "hunter2"
STATEMENTS = [
    "CREATE USER 'bob'@'%' IDENTIFIED BY 'hunter2'",
    "CREATE USER bob IDENTIFIED BY 'hunter2', 'eve'@'h' IDENTIFIED BY \"hunter2\"",
    'create user bob identified by "hunter2"',
    "CREATE USER u IDENTIFIED WITH caching_sha2_password AS 'hunter2'",
    "CREATE USER u IDENTIFIED WITH mysql_native_password BY 'hunter2' REPLACE 'hunter2' RETAIN CURRENT PASSWORD",
    "CREATE USER u IDENTIFIED VIA mysql_native_password USING PASSWORD('hunter2') OR unix_socket",
    "CREATE USER u IDENTIFIED BY PASSWORD '*hunter2'",
    "ALTER USER USER() IDENTIFIED BY 'hunter2'",
    "ALTER USER u IDENTIFIED/*+ x */BY/*+ x */'hunter2'",
    "SELECT id FROM users WHERE password/*+ x */=/*+ x */'hunter2'",
    "SELECT 1 /*+ hunter2 */",
    "ALTER USER u ADD 2 FACTOR IDENTIFIED WITH x BY 'hunter2'",
    'ALTER USER u ATTRIBUTE \'{"password": "hunter2"}\'',
    "SET PASSWORD = 'hunter2'",
    "SET PASSWORD FOR 'bob'@'%' = PASSWORD('hunter2')",
    "SET PASSWORD FOR bob = OLD_PASSWORD('hunter2')",
    "GRANT ALL ON *.* TO 'bob'@'%' IDENTIFIED BY 'hunter2' WITH GRANT OPTION",
    "CHANGE REPLICATION SOURCE TO SOURCE_HOST='db1', SOURCE_USER='repl', SOURCE_PASSWORD='hunter2'",
    "CHANGE MASTER TO MASTER_PASSWORD='hunter2', MASTER_USER='repl'",
    "START REPLICA USER='repl' PASSWORD='hunter2'",
    "START GROUP_REPLICATION USER='r', PASSWORD='hunter2'",
    "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (USER 'u', HOST 'h', PASSWORD 'hunter2')",
    "CREATE TABLE t (a INT) ENGINE=FEDERATED CONNECTION='mysql://u:hunter2@h:3306/db/t'",
    "CLONE INSTANCE FROM 'u'@'h':3306 IDENTIFIED BY 'hunter2'",
    "INSERT INTO mysql.user VALUES ('%', 'bob', 'hunter2')",
    "INSERT INTO `mysql` . `user` VALUES ('%', 'bob', 'hunter2')",
    "UPDATE users SET password_hash = 'hunter2' WHERE id = 5",
    "SELECT * FROM users WHERE `password` = 'hunter2'",
    "SELECT AES_ENCRYPT('x', 'hunter2')",
    "SET @password = 'hunter2'",
    "PREPARE s FROM 'ALTER USER u IDENTIFIED BY ''hunter2'''",
    "SET @s = CONCAT('ALTER USER u IDENTIFIED BY ', '\\'hunter2\\'')",
    "EXECUTE IMMEDIATE 'SET PASSWORD = ''hunter2'''",
    "SELECT 'https://user:hunter2@host/path'",
    "CREATE USER u /*!50000 IDENTIFIED BY 'hunter2' */",
    "CREATE USER u IDENTIFIED/* */BY/**/'hunter2'",
    "CREATE USER u IDENTIFIED BY 'hunter2",
    "CREATE USER u IDENTIFIED BY 'it\\'s hunter2'",
    "SELECT 1 -- the password is hunter2",
    "SELECT /* hunter2 */ 1",
    "INSERT INTO logins (token) VALUES ('hunter2'), ('hunter2')",
    "SET PASSWORD = _utf8mb4'hun' 'hunter2'",
    "SET GLOBAL bar_secret = 'hunter2'",
    "SET GLOBAL wsrep_sst_auth = 'sst:hunter2'",
    "SET PASSWORD TO 'hunter2'",
    "ALTER USER bob PASSWORD TO 'hunter2'",
    "INSERT INTO t (api_key) VALUES (N'hunter2')",
    # Misspelt, and recorded all the same.
    "CREATE USER u IDENTIFED BY 'hunter2'",
    "CRAETE USER u IDENTIFED BY 'hunter2'",
    "CREATE USR 'bob'@'%' IDENTFIED BY 'hunter2'",
    "MAKE USER u IDENTIFED WITH x AS 'hunter2'",
    "GRNAT ALL ON *.* TO 'bob'@'%' IDENTIFED BY 'hunter2'",
    "GRANT ALL ON *.* TO bob USING 'hunter2'",
    "SET PASWORD FOR u = 'hunter2'",
    "/*!50001 CREATE USER u IDENTIFED BY 'hunter2' */",
    "CHANGE MASTER TO MASTER_PASWORD='hunter2'",
    "CHANGE MASTER TO MASTER_PASWORD=hunter2, MASTER_HOST='db1'",
    "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (USER 'u', PASWORD 'hunter2')",
    "PREPARE s FROM 'CREATE USER u IDENTIFED BY ''hunter2'''",
    # Not as a text.
    "CREATE USER u IDENTIFIED BY `hunter2`",
    "CREATE USER u IDENTIFIED BY hunter2",
    "CREATE USER u IDENTIFIED BY x-hunter2",
    "CREATE USER u IDENTIFIED BY my hunter2",
    "CREATE USER u IDENTIFED BY hunter2, v IDENTIFED BY `hunter2`",
    "ALTER USER u IDENTIFIED VIA ed25519 USING PASSWORD(hunter2)",
    "SET PASSWORD = hunter2",
    "SET PASSWORD FOR bob TO `hunter2`",
    # To be hashed or encrypted.
    "SELECT SHA2('hunter2', 256)",
    "SELECT MD5('hunter2')",
    "SELECT `md5` ( 'hunter2' )",
    "SELECT a, SHA1(CONCAT('salt', 'hunter2')) FROM t",
    "INSERT INTO t (a) VALUES (SHA('hunter2'))",
    "UPDATE t SET a = KDF('hunter2', 'salt', 1000)",
    # On its way into another statement.
    "SET @p = 'hunter2'",
    "SET @a = 1, @`p` := CONCAT('hun', 'hunter2')",
    "SELECT @p := 'hunter2'",
    # By what it is called.
    "SELECT * FROM t WHERE pin IN ('hunter2', 'x')",
    "INSERT INTO cards (id, cvv) VALUES (1, 'hunter2')",
    'UPDATE t SET data = \'{"pin": "hunter2"}\'',
]


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: f"{rules.dialect.flavour}-{rules.ansi_quotes}")
@pytest.mark.parametrize("sql", STATEMENTS)
@ALL
def test_a_planted_secret_never_reaches_the_journal(sql, rules, literals):
    assert PLANTED not in redacted(sql, "unknown", Handling(rules=rules, literals=literals, key=KEY))


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_planted_secret_does_not_come_back_in_the_servers_error(sql):
    said = f"You have an error in your SQL syntax near '{sql[7:]}' at line 1"
    assert PLANTED not in redacted_message(said, sql, PLAIN)
    assert PLANTED not in redacted_message(said[:-15] + "' at line 1", sql, PLAIN)


AS_SENT = [
    ("SELECT usr, token FROM gen", "Unknown column 'usr' in 'field list'"),
    ("SELECT usr, token FROM gen", "Unknown column 'token' in 'SELECT'"),
    ("SELECT password FROM nosuch", "Table 'shop.nosuch' doesn't exist"),
    ("SELECT a FROM nosuch WHERE b = 'x -- y'", "Table 'shop.nosuch' doesn't exist"),
    ("SELECT a FROM nosuch WHERE b = 'x # y'", "Unknown column 'b' in 'where clause'"),
    ("SELECT password FROM v", "The user specified as a definer ('gone'@'%') does not exist"),
    ("SELECT user, host FROM mysql.user", "SELECT command denied to user 'console'@'10.0.0.7' for table 'user'"),
    ("SELECT a FROM t WHERE token = 'abc'", "Unknown column 'a' in 'field list'"),
    ("UPDATE t SET password = 'it''s' WHERE nosuch = 1", "Unknown column 'nosuch' in 'where clause'"),
    ("SELECT a FROM t -- a note", "Can't find file: './shop/t.frm'"),
]


@pytest.mark.parametrize(("sql", "said"), AS_SENT)
def test_words_of_the_server_that_quote_no_literal_stay_as_they_are(sql, said):
    assert redacted_message(said, sql, PLAIN) == said


@pytest.mark.parametrize(
    ("sql", "said", "left"),
    [
        ("SET PASSWORD = 'it''s'", "near ''it''s'' at line 1, don't", "near '?' at line 1, don't"),
        ("INSERT INTO t (token) VALUES ('abc')", "Duplicate entry 'abc' for key 't.token'", "Duplicate entry '?' for key 't.token'"),
        ("INSERT INTO t (token) SELECT a FROM u", "Duplicate entry 'o'brien' for key 'x'", "Duplicate entry '?' for key 'x'"),
        ("SELECT token + 1 FROM t", "Truncated incorrect DOUBLE value: 'abc'", "Truncated incorrect DOUBLE value: '?'"),
        ("INSERT INTO t VALUES ('abc')", "Duplicate entry 'abc' for key 't.token'", "Duplicate entry '?' for key 't.token'"),
        ("SELECT a FROM t WHERE token = 'ab'", "no 'ab', no 'abc'", "no '?', no 'abc'"),
    ],
)  # fmt: skip
def test_of_a_servers_words_a_value_alone_is_blanked_and_an_apostrophe_breaks_nothing(sql, said, left):
    assert redacted_message(said, sql, PLAIN) == left


def test_a_comment_is_kept_out_with_whatever_it_says():
    assert redacted("SELECT 1 # hunter2\n, 2 -- x\n", "select", PLAIN) == "SELECT 1  \n, 2"
    assert "hunter2" not in redacted_message("error near '1 # hunter2' at line 1", "SELECT 1 # hunter2", PLAIN)


def test_hexadecimal_and_binary_secrets_are_secrets():
    assert "6869" not in redacted("CREATE USER u IDENTIFIED WITH p AS 0x6869", "create user", PLAIN)
    assert "6869" not in redacted("CREATE USER u IDENTIFIED WITH p AS x'6869'", "create user", PLAIN)


def test_a_number_compared_with_a_secret_is_a_secret_and_others_are_not():
    assert redacted("SELECT id FROM users WHERE pin_password = 1234 LIMIT 10", "select", PLAIN) == (
        "SELECT id FROM users WHERE pin_password = '<secret>' LIMIT 10"
    )


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT * FROM t WHERE pin IN (7) AND id = 5 LIMIT 3", "SELECT * FROM t WHERE pin IN ({0}) AND id = 5 LIMIT 3"),
        ("SELECT * FROM t WHERE pin IN (7, 8)", "SELECT * FROM t WHERE pin IN ({0}, {0})"),
        ("SELECT * FROM t WHERE pin BETWEEN 7 AND 8", "SELECT * FROM t WHERE pin BETWEEN {0} AND {0}"),
        ("INSERT INTO t (id, pin) VALUES (4, 7)", "INSERT INTO t (id, pin) VALUES (4, {0})"),
        ("CREATE USER u IDENTIFIED BY 7", "CREATE USER u IDENTIFIED BY {0}"),
        ("CHANGE MASTER TO MASTER_PASWORD=7, MASTER_PORT=3306", "CHANGE MASTER TO MASTER_PASWORD={0}, MASTER_PORT=3306"),
        ("SELECT MD5(7), 8", "SELECT MD5({0}), 8"),
    ],
)  # fmt: skip
def test_a_number_is_a_secret_where_its_column_its_function_or_its_option_is(sql, shown):
    assert redacted(sql, "select", PLAIN) == shown.format("'<secret>'")


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE users (a INT DEFAULT 3) AS SELECT 'x'",
        "DROP USER 'bob'@'%'",
        "GRANT SELECT ON a.b TO 'bob'@'%' WITH MAX_QUERIES_PER_HOUR 20",
        "CREATE USER 'bob'@'%' IDENTIFIED BY RANDOM PASSWORD",
        "SET SESSION time_zone = 'UTC', @n = 5",
        "SELECT 'x' FROM t WHERE shipping IN ('a', 'b') AND encoded = 'c'",
        "ALTER TABLE t ADD COLUMN user VARCHAR(20) DEFAULT 'x'",
    ],
)
def test_what_only_looks_alike_is_kept_as_it_was_written(sql):
    assert redacted(sql, "select", PLAIN) == sql


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("CREATE USER 'bob'@'%' IDENTIFIED BY 'x'", "'bob'@'%'"),
        ("SET PASSWORD FOR 'bob' = 'x'", "'bob'"),
        ("ALTER USER 'bob' IDENTIFIED BY 'x'", "'bob'"),
        ("CHANGE REPLICATION SOURCE TO SOURCE_HOST='db1', SOURCE_PASSWORD='x'", "'db1'"),
    ],
)
def test_an_auditor_still_sees_whose_password_it_was(sql, kept):
    assert kept in redacted(sql, "alter user", PLAIN)


def test_what_holds_no_secret_is_kept_as_it_was_written():
    sql = "SELECT  a, 'it''s', 0x41 FROM `t`\nWHERE b = 'x'"
    assert redacted(sql, "select", PLAIN) == sql


def test_a_statement_that_cannot_be_read_is_left_out_when_it_may_hold_a_secret():
    assert redacted("SET PASSWORD = 'x", "set password", PLAIN) == LEFT_OUT
    assert redacted("ALTER USER 'x", "alter user", PLAIN) == LEFT_OUT
    assert redacted("ALTER TABLE t COMMENT 'x", "alter table", PLAIN) == "ALTER TABLE t COMMENT 'x"
    assert redacted("SELECT MD5('x", "select", PLAIN) == LEFT_OUT
    assert redacted("/* c */ ALTER USER 'x", "alter user", PLAIN) == LEFT_OUT


def test_hashed_literals_can_be_followed_and_dropped_ones_cannot():
    hashed, dropped = Handling(rules=MYSQL, literals=HASHED, key=KEY), Handling(rules=MYSQL, literals=DROP_EVERYTHING)
    one, same, other = (redacted(f"SELECT '{text}'", "select", hashed) for text in ("a", "a", "b"))
    assert one == same != other
    assert redacted("SELECT 'a', 5", "select", dropped) == "SELECT ?, ?"


def test_a_hint_stays_because_it_is_run():
    assert "MAX_EXECUTION_TIME" in redacted("SELECT /*+ MAX_EXECUTION_TIME(1) */ 1 /* x */", "select", PLAIN)


@given(st.text(), st.sampled_from(RULES), st.sampled_from([KEPT, HASHED, DROP_EVERYTHING]))
def test_no_text_makes_it_raise(sql, rules, literals):
    shown = redacted(sql, "unknown", Handling(rules=rules, literals=literals, key=KEY))
    assert shown == LEFT_OUT or bool(shown.strip()) <= bool(sql.strip())
    assert isinstance(redacted_message(sql, sql, Handling(rules=rules, literals=literals, key=KEY)), str)


@given(st.text(alphabet="ab'\"`\\@-/*# \n=(,;", max_size=30))
def test_whatever_stands_around_it_a_secret_does_not_pass(noise):
    """The planted text stands in a literal of its own, so that only the noise before it decides how it is read."""
    for rules in RULES:
        assert PLANTED not in redacted(f"SET PASSWORD = {noise} 'hunter2'", "set password", Handling(rules=rules))


@pytest.mark.parametrize(
    "text",
    ["a+" * 1_000_000, "password " * 200_000, "://" * 500_000, "'password" * 200_000, "INSERT INTO t VALUES " + "('passw'),"
     * 200_000],
)  # fmt: skip
def test_megabytes_take_seconds_at_most(text):
    began = time.process_time()
    redacted(text, "unknown", PLAIN)
    is_secret_bearing(text)
    assert time.process_time() - began < 60
