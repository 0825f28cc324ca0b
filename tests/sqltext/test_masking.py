"""Masked columns leave as masked items of one SELECT, and in no other way."""

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.masking import MASK, Masking, mask_rules, masking_of, may_be
from safeconsole.sqltext.statement import Behind
from safeconsole.sqltext.vocabulary import Flavour

RULES = mask_rules({"shop.customers.email": "agents", "*.*.iban": "everybody", "shop.customers.2fa": "agents"})
FLAVOURS = [Flavour.MYSQL, Flavour.MARIADB]


def lexical(flavour=Flavour.MYSQL, **how):
    return LexicalRules(dialect=DIALECTS[flavour], version=DIALECTS[flavour].assumed_version, **how)


def masked(text, flavour=Flavour.MYSQL, *, behind=Behind(), agent=True, rules=RULES, **how):
    read = lexical(flavour, **how)
    (statement,) = analyse(text, read, schema="shop")
    return masking_of(statement, behind, rules, read, agent=agent)


def names(masking):
    return [rule.name for rule in masking.masked]


UNTOUCHED = (
    "SELECT 1",
    "SELECT id, status FROM customers WHERE id = 7",
    "SELECT COUNT(*), MAX(total * 2), 2 * total FROM customers GROUP BY status",
    "SELECT email FROM subscribers",
    "SELECT 'email' AS what, status FROM customers WHERE status = 'email'",
    "SHOW CREATE TABLE customers",
    "SHOW COLUMNS FROM customers LIKE 'email'",
    "DESCRIBE customers email",
    "SELECT column_name FROM information_schema.columns WHERE table_name = 'customers'",
    "UPDATE customers SET email = 'x' WHERE id = 7",
    "UPDATE customers SET status = 'a', customers.email = 'x' WHERE id = 7",
    "INSERT INTO customers (id, email) VALUES (7, 'x')",
    "INSERT INTO customers SET id = 7, email = 'x'",
    "INSERT INTO customers (id, email) VALUES (7, 'x') ON DUPLICATE KEY UPDATE email = 'x'",
    "DELETE FROM customers WHERE id = 7",
    "ALTER TABLE customers ADD INDEX (status)",
    "EXPLAIN SELECT id FROM customers WHERE id = 7",
)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_reads_no_masked_column_is_left_alone(text, flavour):
    found = masked(text, flavour)
    assert (found.refusal, names(found)) == ("", [])


SELECTED = {
    "SELECT email FROM customers": (1, {0}),
    "SELECT id, email FROM customers WHERE id = 7": (2, {1}),
    "SELECT SQL_NO_CACHE id, c.email AS mail, shop.customers.email contact FROM customers c": (3, {1, 2}),
    "SELECT `email`, EMAIL, `EmAil` FROM shop.customers ORDER BY id DESC LIMIT 3": (3, {0, 1, 2}),
    "SELECT id, 2fa, c.2fa FROM customers c": (3, {1, 2}),
    "SELECT id /*!50000 , email */ FROM customers": (2, {1}),
    "SELECT id, EM\u0130L, emai\u013a FROM customers": (3, {2}),
    "SELECT iban, id FROM other.payments": (2, {0}),
    "SELECT id, (SELECT COUNT(*) FROM orders) AS n, email FROM customers FOR UPDATE": (3, {2}),
    "SELECT /*+ MAX_EXECUTION_TIME(500) */ email, id FROM customers": (2, {0}),
}


@pytest.mark.parametrize(("text", "places"), SELECTED.items())
def test_a_plain_item_is_masked_where_it_stands(text, places):
    found = masked(text)
    assert (found.refusal, found.items, found.positions, found.everything) == ("", *places, False)
    assert MASK in found.note


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM customers", "SELECT c.* FROM customers c", "SELECT id, shop.customers.* FROM customers",
        "SELECT *, email FROM customers ORDER BY id", "SELECT o.*, c.status FROM orders o JOIN customers c USING (id)",
        "SELECT SQL_NO_CACHE * FROM customers",
    ],
)  # fmt: skip
def test_all_columns_are_masked_by_their_names(text):
    found = masked(text)
    assert found.refusal == "" and found.everything
    columns = ["id", "Email", "status", "IBAN", "emaİl"]
    assert found.of_columns(columns, [("", "", "")] * 5) == {1, 3, 4}


REFUSED = (
    # Conditions and orders, which answer guesses.
    "SELECT id FROM customers WHERE email = 'a@b'",
    "SELECT id FROM customers WHERE email LIKE 'a%'",
    "SELECT id FROM customers c WHERE c.`email` > 'm'",
    "SELECT id FROM customers ORDER BY email",
    "SELECT id, email FROM customers ORDER BY 2",
    "SELECT id, email FROM customers ORDER BY (2)",
    "SELECT email, id FROM customers ORDER BY TRUE",
    "SELECT * FROM customers ORDER BY 3 DESC",
    "SELECT id, email AS e FROM customers ORDER BY e",
    "SELECT id, email AS e FROM customers ORDER BY `E`",
    "SELECT email AS e FROM customers HAVING e LIKE 'a%'",
    "SELECT email FROM customers GROUP BY email",
    "SELECT email, COUNT(*) FROM customers GROUP BY 1",
    "SELECT COUNT(*) FROM customers GROUP BY email",
    "SELECT DISTINCT email FROM customers",
    "SELECT DISTINCT * FROM customers",
    "SELECT COUNT(DISTINCT email) FROM customers",
    "SELECT id FROM customers JOIN orders USING (email)",
    "SELECT * FROM customers NATURAL JOIN guesses",
    "SELECT 1 FROM customers NATURAL JOIN guesses",
    "SELECT id FROM customers JOIN guesses g ON g.guess = email",
    "SELECT id FROM customers WHERE MATCH (email) AGAINST ('ann')",
    "SELECT id FROM customers WHERE (id, 'a@b') IN (SELECT id, email FROM customers)",
    "SELECT id FROM customers WHERE (7, 'a', 'b') IN (SELECT * FROM customers)",
    "SELECT id FROM customers WHERE (7, 'a', 'b') IN (TABLE customers)",
    "SELECT EXISTS (SELECT * FROM customers WHERE id = 7)",
    "SELECT ROW_NUMBER() OVER (ORDER BY email) FROM customers",
    "SELECT email, RANK() OVER (ORDER BY 1) FROM customers",
    # Expressions, and what carries it elsewhere.
    "SELECT UPPER(email) FROM customers",
    "SELECT CONCAT(email) FROM customers",
    "SELECT (email) FROM customers",
    "SELECT email + 0 FROM customers",
    "SELECT email COLLATE utf8mb4_bin FROM customers",
    "SELECT -email FROM customers",
    "SELECT email->'$.a' FROM customers",
    "SELECT email = 'a@b' FROM customers",
    "SELECT email 'e' FROM customers",
    "SELECT email AS 'e' FROM customers",
    "SELECT MAX(email) FROM customers",
    "SELECT JSON_OBJECT('e', email) FROM customers",
    "SELECT GROUP_CONCAT(id ORDER BY email) FROM customers",
    "SELECT IF(email IS NULL, 1, 2) FROM customers",
    "SELECT @e := email FROM customers",
    "SELECT email INTO @e FROM customers",
    "SELECT email FROM customers INTO @e",
    "SELECT id email FROM customers",
    "SELECT status AS email FROM customers",
    "SELECT *, email AS e FROM customers",
    "SELECT email e, (SELECT e) FROM customers",
    "SELECT DEFAULT(email) FROM customers",
    "SELECT SQL_CACHE email FROM customers",
    # Other queries around it.
    "SELECT e FROM (SELECT email AS e FROM customers) d",
    "SELECT * FROM (SELECT * FROM customers) d",
    "SELECT a FROM (SELECT * FROM customers) d (a, b, c)",
    "WITH d AS (SELECT email FROM customers) SELECT * FROM d",
    "WITH d (a, b) AS (SELECT * FROM customers) SELECT a FROM d",
    "WITH d AS (TABLE customers) SELECT * FROM d",
    "SELECT id FROM customers UNION SELECT email FROM customers",
    "SELECT * FROM customers UNION ALL SELECT 1, 2, 3",
    "SELECT 1, 2, 3 UNION SELECT * FROM customers",
    "(SELECT email FROM customers)",
    "SELECT id FROM orders, LATERAL (SELECT email FROM customers LIMIT 1) d",
    "SELECT (SELECT email FROM customers LIMIT 1)",
    "SELECT (SELECT c.email FROM customers c LIMIT 1) AS x FROM orders",
    # What reads without naming.
    "TABLE customers",
    "TABLE customers ORDER BY email",
    "HANDLER customers OPEN",
    "CHECKSUM TABLE customers",
    "SELECT * FROM customers PROCEDURE ANALYSE()",
    "SELECT id FROM customers PROCEDURE ANALYSE()",
    # The plan, whose notes and rows tell of values.
    "EXPLAIN SELECT * FROM customers WHERE id = 7",
    "EXPLAIN SELECT email FROM customers WHERE id = 7",
    "EXPLAIN SELECT id FROM customers WHERE email = 'a'",
    "EXPLAIN ANALYZE SELECT id FROM customers WHERE email = 'a'",
    "EXPLAIN FORMAT=JSON SELECT id FROM customers WHERE email = 'a'",
    # Changes that read it, or put it elsewhere.
    "UPDATE customers SET status = email WHERE id = 7",
    "UPDATE customers SET email = email WHERE id = 7",
    "UPDATE customers SET email = CONCAT(email, 'x')",
    "UPDATE customers SET status = 'x' WHERE email LIKE 'a%'",
    "UPDATE orders SET note = (SELECT email FROM customers LIMIT 1)",
    "INSERT INTO notes SELECT * FROM customers",
    "INSERT INTO notes (note) SELECT email FROM customers",
    "INSERT INTO customers (id, email) SELECT id, email FROM customers",
    "INSERT INTO notes TABLE customers",
    "DELETE FROM customers WHERE email = 'a@b'",
    "CREATE TABLE notes AS SELECT * FROM customers",
    "CREATE VIEW notes AS SELECT email FROM customers",
    "CREATE TABLE notes (id INT) TABLE customers",
    "ALTER TABLE customers RENAME COLUMN email TO e",
    "ALTER TABLE customers ADD COLUMN e VARCHAR(99) AS (email)",
    "ANALYZE TABLE customers UPDATE HISTOGRAM ON email",
    "SET @e = (SELECT email FROM customers LIMIT 1)",
    "DO (SELECT email FROM customers LIMIT 1)",
    # Not understood.
    "CALL anything()",
    "EXECUTE IMMEDIATE 'SELECT email FROM customers'",
    "SELECT my_function(7) FROM customers",
    # Other ways to write the name.
    "SELECT id FROM customers WHERE EMA\u0130L = 'a@b'",
    "SELECT id FROM customers WHERE `\u00e9mail` = 'a@b'",
    "SELECT id FROM customers WHERE `email ` = 'a@b'",
    "SELECT id FROM customers WHERE/*!50000 email */= 'a@b'",
    "SELECT id FROM customers WHERE c.2fa = 1",
    "SELECT id FROM customers WHERE 2fa = 1",
    # Where values show otherwise.
    "SELECT * FROM information_schema.column_statistics",
    "SELECT lock_data FROM performance_schema.data_locks",
    "SELECT min_value FROM mysql.column_stats",
    "SELECT word FROM information_schema.INNODB_FT_INDEX_TABLE",
)  # fmt: skip


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("text", REFUSED)
def test_every_other_way_to_a_masked_column_is_refused(text, flavour):
    assert masked(text, flavour).refusal


OTHERS = (
    "SHOW PROCESSLIST", "SHOW FULL PROCESSLIST", "SHOW ENGINE INNODB STATUS", "SHOW BINLOG EVENTS",
    "SELECT info FROM information_schema.processlist", "SELECT * FROM sys.processlist", "SELECT * FROM sys.x$session",
    "SELECT sql_text FROM performance_schema.events_statements_history_long", "SELECT argument FROM mysql.general_log",
    "SELECT query_sample_text FROM performance_schema.events_statements_summary_by_digest",
)  # fmt: skip


@pytest.mark.parametrize("text", OTHERS)
def test_statements_of_others_are_kept_from_agents_and_not_from_people(text):
    assert "statements of others" in masked(text).refusal or "not understood" in masked(text).refusal
    assert "statements of others" not in masked(text, agent=False).refusal


def test_double_quotes_are_names_where_the_server_takes_them_for_names():
    assert masked('SELECT "email" FROM customers', ansi_quotes=True).positions == {0}
    assert masked('SELECT id FROM customers WHERE "email" = 1', ansi_quotes=True).refusal
    assert names(masked('SELECT "email", id FROM customers')) == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT c.'email' = 'x' FROM customers c", "SELECT 1 FROM customers JOIN guesses USING ('email')",
        "SELECT [email] FROM customers WHERE [email] = 1",
    ],
)  # fmt: skip
def test_texts_that_one_family_takes_for_names_are_names(text):
    assert masked(text, Flavour.SQLITE).refusal


def test_a_view_that_reads_a_masked_column_is_refused_and_another_is_not():
    def view(text):
        return Behind(views=True, definitions=analyse(text, lexical(), schema="shop"))

    asked = "SELECT a FROM v"
    assert (
        "a view in it reads shop.customers.email"
        in masked(asked, behind=view("select `shop`.`customers`.`email` AS `a` from `shop`.`customers`")).refusal
    )
    assert masked(asked, behind=view("SELECT * FROM customers")).refusal
    assert not masked(asked, behind=view("select `shop`.`customers`.`id` AS `a` from `shop`.`customers`")).refusal


def test_people_are_held_by_what_is_for_everybody_alone():
    for_people = tuple(rule for rule in RULES if rule.everybody)
    assert names(masked("SELECT email FROM customers", agent=False, rules=for_people)) == []
    assert names(masked("SELECT iban FROM accounts", agent=False, rules=for_people)) == ["*.*.iban"]


def test_what_the_server_says_a_column_is_is_believed_in_any_result():
    found = masked("SELECT status FROM orders")
    assert found.of_columns(["mail", "x"], [("shop", "customers", "email"), ("", "", "")]) == {0}
    assert found.of_columns(["email"], [("shop", "orders", "email")]) == frozenset()


def test_a_result_that_is_not_the_list_that_was_read_is_masked_whole():
    found = masked("SELECT id, email FROM customers")
    assert found.of_columns(["a", "b", "c"], [("", "", "")] * 3) == {0, 1, 2}


def test_nothing_is_looked_for_where_a_policy_masks_nothing():
    assert masked("SELECT email FROM customers WHERE email = 'x'", rules=()) == Masking()


@pytest.mark.parametrize("name", ["email", "shop.customers", "shop.customers.*", "a.b.c.d", "shop..email", "a b.c.d"])
def test_a_name_that_is_none_is_an_error(name):
    with pytest.raises(ValueError, match=r"schema\.table\.column"):
        mask_rules({name: "agents"})


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("email", "EMAIL", True), ("email", "e\u00admail", False), ("*_token", "api_TOKEN", True), ("a.c", "abc", False),
        ("öl", "ol", True), ("email", "emails", False), ("kind", "\u212aind", True),
    ],
)  # fmt: skip
def test_names_that_a_server_may_take_for_one_another_are_one(pattern, name, fits):
    assert may_be(pattern, name) is fits
