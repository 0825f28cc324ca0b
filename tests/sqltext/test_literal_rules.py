"""What the journal keeps of literals, by table and column."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.literal_rules import LiteralKey, Treatment, literal_rules
from safeconsole.sqltext.literal_rules import Handling
from safeconsole.sqltext.redaction import redacted, redacted_message
from safeconsole.sqltext.vocabulary import Flavour

MYSQL = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704)
FLAVOURS = [
    MYSQL,
    LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101119),
    LexicalRules(dialect=DIALECTS[Flavour.SQLITE]),
]
RULES = literal_rules("keep", {"shop.customers.email": "drop", "shop.customers.name": "hash", "hr.*": "drop"})
KEY = LiteralKey(secret=b"a key that the test has")


def written(sql, *, rules=RULES, lexical=MYSQL, key=KEY):
    found = analyse(sql, lexical, schema="shop")
    handlings = [Handling(rules=lexical, literals=rules.of_statement(one), key=key) for one in found]
    return "; ".join(redacted(one.text, one.kind, how) for one, how in zip(found, handlings, strict=True))


# Columns with a rule, columns without one, and tables that no rule is about.

NAME = KEY.mark_of("Ada")


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("SELECT id FROM customers WHERE email = 'ada@x' AND city = 'Oslo'", "email = ? AND city = 'Oslo'"),
        ("SELECT id FROM customers c WHERE 'ada@x' = c.email OR 5 < c.age", "? = c.email OR 5 < c.age"),
        ("SELECT id FROM customers WHERE name = 'Ada'", f"name = {NAME}"),
        ("SELECT id FROM customers WHERE name IN ('Ada', \"Ada\") LIMIT 50", f"IN ({NAME}, {NAME}) LIMIT 50"),
        ("SELECT id FROM customers WHERE age NOT BETWEEN 18 AND -21 ORDER BY 1", "BETWEEN 18 AND -21 ORDER BY ?"),
        ("SELECT id FROM customers WHERE email NOT LIKE 'ada%' LIMIT 5, 10", "NOT LIKE ? LIMIT 5, 10"),
        ("SELECT id FROM customers WHERE `Email` = _utf8mb4'a' 'b'", "`Email` = _utf8mb4? ?"),
        ("UPDATE customers SET email = 'a@x', city = 'Oslo' WHERE id = 7", "email = ?, city = 'Oslo' WHERE id = 7"),
        ("INSERT INTO customers (id, email, city) VALUES (1, 'a@x', 'Oslo'), (-2, 'b', DATE '2026-01-01')",
         "VALUES (1, ?, 'Oslo'), (-2, ?, DATE '2026-01-01')"),
        ("INSERT INTO customers SET city = 'Oslo', email = 'a'", "city = 'Oslo', email = ?"),
        ("INSERT INTO customers (id, city) VALUES (1, 'x') ON DUPLICATE KEY UPDATE email = 'a', city = 'y'",
         "VALUES (1, 'x') ON DUPLICATE KEY UPDATE email = ?, city = 'y'"),
        ("SELECT id FROM orders WHERE email = 'shown'", "email = 'shown'"),
        ("SELECT id FROM orders o JOIN customers c ON o.c = c.id WHERE o.status = 'open'", "o.status = 'open'"),
        ("SELECT id FROM salaries.people WHERE email = 'x'", "email = 'x'"),
        ("SELECT id FROM hr.people WHERE id = 5", "id = ?"),
        ("KILL 17", "KILL 17"),
        ("SHOW TABLES LIKE 'cust%'", "LIKE 'cust%'"),
        ("SET GLOBAL max_connections = 200, @@session.sql_mode = 'ANSI'", "max_connections = 200, @@session.sql_mode = 'ANSI'"),
    ],
)  # fmt: skip
def test_a_literal_is_kept_hashed_or_dropped_by_its_column(sql, kept):
    assert kept in written(sql)


HIDDEN = [
    "SELECT 'planted' FROM customers",
    "SELECT id FROM customers WHERE LOWER(email) = 'planted'",
    "SELECT id FROM customers WHERE LOWER(city) = LOWER('planted')",
    "SELECT id FROM customers WHERE (city, email) = ('x', 'planted')",
    "SELECT id FROM customers WHERE (city, email) IN (('x', 'planted'))",
    "SELECT id FROM customers WHERE city = email = 'planted'",
    "SELECT id FROM customers WHERE 'planted' = city = email",
    "SELECT id FROM customers WHERE 'planted' IN (city, email)",
    "SELECT id FROM customers WHERE city || email = 'planted'",
    "SELECT id FROM customers WHERE email || city = 'planted'",
    "SELECT id FROM customers WHERE city = 'planted' || email",
    "SELECT id FROM customers WHERE city COLLATE utf8mb4_bin = 'planted'",
    "SELECT id FROM customers WHERE email COLLATE utf8mb4_bin = 'planted'",
    "SELECT id FROM customers WHERE email SOUNDS LIKE 'planted'",
    "SELECT id FROM customers WHERE email IS NOT NULL = 'planted'",
    "SELECT id FROM customers WHERE MATCH (city, email) AGAINST ('planted')",
    "SELECT id FROM customers WHERE CASE city WHEN 'Oslo' THEN 'planted' ELSE email END = email",
    "SELECT email AS city FROM customers HAVING city = 'planted'",
    "SELECT email city FROM customers HAVING city = 'planted'",
    "SELECT email 'city' FROM customers HAVING city = 'planted'",
    "SELECT city FROM (SELECT email AS city FROM customers) c WHERE city = 'planted'",
    "SELECT city FROM (SELECT city FROM orders UNION SELECT email FROM customers) c WHERE city = 'planted'",
    "SELECT city FROM (SELECT email FROM customers) AS c (city) WHERE city = 'planted'",
    "WITH c (city) AS (SELECT email FROM customers) SELECT city FROM c WHERE city = 'planted'",
    "INSERT INTO customers VALUES (1, 'planted')",
    "INSERT INTO customers (city, email) VALUES ('x', 'planted')",
    "INSERT INTO customers (city, email) VALUES (CONCAT('x', 'y', 'z'), 'planted')",
    "INSERT INTO customers (city, email) VALUES ROW('x', 'planted')",
    "INSERT INTO customers (city, email) SELECT city, 'planted' FROM orders",
    "INSERT INTO orders (note) SELECT 'planted' FROM customers",
    "INSERT INTO customers (city) VALUES ('x', 'planted')",
    "UPDATE customers SET email = CONCAT('planted', '@x')",
    "UPDATE customers SET city = IF(city = 'x', 'planted', email)",
    "UPDATE orders o JOIN customers c ON o.c = c.id SET c.email = 'planted'",
    "DELETE FROM customers WHERE email IN ('x', LOWER('y'), 'planted')",
    "REPLACE INTO customers (email) VALUES ('x'), ('planted')",
    "SELECT id FROM customers WHERE /* c */ email/**/= /*!50000 'planted' */",
    "SELECT id FROM Customers WHERE EMAIL='planted'",
    "SELECT id FROM shop.customers WHERE shop.customers.email = N'planted'",
    "EXPLAIN SELECT id FROM customers WHERE email = 'planted'",
    "ALTER TABLE customers ADD COLUMN c INT COMMENT 'planted'",
    "ALTER TABLE customers ALTER email SET DEFAULT 'planted'",
    "CREATE TRIGGER t BEFORE INSERT ON customers FOR EACH ROW SET NEW.email = 'planted'",
    "CREATE VIEW v AS SELECT id FROM customers WHERE email = 'planted'",
    "CALL find_customer('planted')",
    "SELECT find_customer('planted')",
    "SELECT find_customer('planted') FROM orders",
    "SET @mail = 'planted'",
    "SET @mail := 'planted', @x = 5",
    "DO find_customer('planted')",
    "PREPARE s FROM 'SELECT id FROM customers WHERE email = ''planted'''",
    "EXECUTE IMMEDIATE 'SELECT planted'",
    "HANDLER customers READ email = ('planted')",
    "LOAD DATA INFILE '/tmp/planted' INTO TABLE customers",
    "NONSENSE 'planted'",
    "SELECT id FROM customers WHERE email = 'planted",
    "SELECT id FROM customers WHERE id = 1; SELECT id FROM customers WHERE email = 'planted'",
    "SELECT id FROM customers WHERE email = 'planted' UNION SELECT id FROM orders WHERE status = 'planted' || email",
    "SELECT id FROM customers AS OF TIMESTAMP 'planted'",
    "SELECT id FROM customers WHERE ts > TIMESTAMP 'x' - INTERVAL 'planted' DAY",
    "SELECT JSON_EXTRACT(email, '$.planted') FROM customers",
    "SELECT email->'$.planted' FROM customers",
    "SELECT id FROM customers ORDER BY FIELD(email, 'planted')",
    "TABLE customers INTO OUTFILE 'planted'",
]


@pytest.mark.parametrize("lexical", FLAVOURS, ids=lambda rules: rules.dialect.flavour.value)
@pytest.mark.parametrize("sql", HIDDEN)
def test_a_value_whose_column_cannot_be_told_gets_the_strictest_that_could_apply(sql, lexical):
    assert "planted" not in written(sql, lexical=lexical), written(sql, lexical=lexical)


def test_sqlite_takes_a_quoted_name_for_a_text_and_so_do_we():
    sql = 'SELECT "id" FROM "customers" WHERE "email" = "planted"'
    assert written(sql, lexical=FLAVOURS[2]) == 'SELECT "id" FROM "customers" WHERE "email" = ?'


def test_a_bulk_insert_of_megabytes_hides_its_values_too():
    rows = ", ".join(f"({number}, 'planted{number}', 'Oslo')" for number in range(20_000))
    assert "planted" not in written(f"INSERT INTO customers (id, email, city) VALUES {rows}")


# Rules tighten, whatever their order.

WORDS = ["hash", "drop"]
PATTERNS = ["shop.customers", "shop.customers.email", "*.*.email", "*.customers.e*", "shop.*", "other.customers"]


@given(st.dictionaries(st.sampled_from(PATTERNS), st.sampled_from(WORDS)), st.randoms())
def test_the_order_of_rules_means_nothing(said, random):
    shuffled = list(said.items())
    random.shuffle(shuffled)
    sql = "SELECT id FROM customers WHERE email = 'planted' AND city = 'Oslo'"
    one, other = (written(sql, rules=literal_rules("keep", dict(rules))) for rules in (said, shuffled))
    assert one == other
    assert ("planted" in one) == (not set(said) - {"other.customers"})


@given(st.sampled_from(["keep", *WORDS]), st.sampled_from(PATTERNS[:4]), st.sampled_from(WORDS))
def test_a_rule_never_loosens(otherwise, pattern, word):
    treatment = literal_rules(otherwise, {pattern: word}).of_statement(
        analyse("SELECT id FROM customers WHERE email = 'x'", MYSQL, schema="shop")[0]
    ).of_columns(["email"])  # fmt: skip
    assert treatment is max(Treatment[otherwise.upper()], Treatment[word.upper()])


VALUES = st.text(alphabet="abcZ09 @.-", min_size=3, max_size=12).map(lambda text: f"planted{text}")
OPERANDS = [
    "{value}",
    "LOWER({value})",
    "({value})",
    "CONCAT('a', {value})",
    "-{value}",
    "{value} || 'x'",
    "CAST({value} AS CHAR)",
]
LEFTS = [
    "email",
    "c.email",
    "`email`",
    "shop.customers.email",
    "LOWER(email)",
    "(email)",
    "city || email",
    "COALESCE(email, city)",
]
OPERATORS = ["=", "<=>", "<>", "LIKE", "NOT LIKE", ">", "REGEXP"]
AROUND = [
    "SELECT id FROM customers c WHERE {it}",
    "SELECT id FROM customers c WHERE city = 'Oslo' AND {it} OR id = 5",
    "SELECT id, {it} FROM customers c",
    "SELECT id FROM orders o JOIN customers c ON {it} WHERE o.status = 'open'",
    "DELETE FROM customers WHERE id IN (1, 2) AND NOT ({it})",
    "UPDATE customers c SET city = 'Oslo' WHERE {it} LIMIT 5",
    "SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers c WHERE {it})",
    "SELECT CASE WHEN {it} THEN 1 ELSE 2 END FROM customers c",
]  # fmt: skip


@given(
    VALUES,
    st.sampled_from(OPERANDS),
    st.sampled_from(LEFTS),
    st.sampled_from(OPERATORS),
    st.sampled_from(AROUND),
    st.booleans(),
)
def test_a_value_compared_with_a_ruled_column_never_gets_through(value, operand, left, operator, around, turned):
    right = operand.format(value="'" + value + "'")
    it = f"{right} {operator} {left}" if turned else f"{left} {operator} {right}"
    assert "planted" not in written(around.format(it=it))


@given(st.text(alphabet="ab'\"`\\@-/*# \n=(,;.", max_size=20))
def test_no_noise_around_it_lets_a_value_through(noise):
    for lexical in FLAVOURS:
        shown = written(f"SELECT id FROM customers WHERE {noise} email = 'planted'", lexical=lexical)
        # Noise can turn the value into a comment, which is left out, or into a name, which is no value.
        assert "'planted'" not in shown


# Hashes.


def test_equal_values_have_one_hash_however_they_are_written_and_only_under_one_key():
    def mark(sql, key=KEY):
        return written(f"SELECT id FROM customers WHERE name = {sql}", key=key).rpartition("= ")[2]

    assert mark("'it''s'") == mark('"it\'s"') == mark("N'it\\'s'") != mark("'its'")
    assert mark("5") == mark("'5'")
    assert mark("'Ada'") != mark("'Ada'", key=LiteralKey(secret=b"another"))
    assert mark("'Ada'", key=LiteralKey()) == "?"
    assert "test has" not in repr(KEY)


def test_a_servers_words_keep_nothing_of_a_value_under_a_rule():
    sql = "INSERT INTO customers (id, email) VALUES (1, 'planted@x')"
    literals = RULES.of_statement(analyse(sql, MYSQL, schema="shop")[0])
    for said in ("Duplicate entry 'planted@x' for key 'customers.email'", "customer planted@x is blocked"):
        assert "planted" not in redacted_message(said, sql, Handling(rules=MYSQL, literals=literals, key=KEY))
    elsewhere = "Unknown column 'x' in 'field list'"
    literals = RULES.of_statement(analyse("SELECT x FROM orders", MYSQL, schema="shop")[0])
    handling = Handling(rules=MYSQL, literals=literals, key=KEY)
    assert redacted_message(elsewhere, "SELECT x FROM orders", handling) == elsewhere


def test_rows_of_a_ruled_table_are_not_kept_and_others_are():
    def keeps(sql):
        return RULES.keeps_rows_of(analyse(sql, MYSQL, schema="shop")[0])

    assert keeps("SELECT id FROM orders")
    assert not keeps("SELECT id FROM orders JOIN customers USING (id)")
    assert not keeps("SHOW PROCESSLIST")
    assert not keeps("CALL p()")


@pytest.mark.parametrize("name", ["customers", "a.b.c.d", "shop.", ".customers", "shop.`a b`.c", "shop customers.x"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="schema.table or schema.table.column"):
        literal_rules("keep", {name: "drop"})
