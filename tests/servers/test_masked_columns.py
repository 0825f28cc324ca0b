"""Masked columns on real servers: no value of one reaches an agent, by whatever way it is asked for."""

import json

import pytest

from tests.harness.desk import demo_configuration
from tests.mcp.test_server import asked, said, under_agents

SECRET = "ann-of-the-masked@example.com"
POLICY = """\
extends: agents
masked:
  shop.masked_people.email: agents
  shop.masked_people.card: everybody
"""
NAMES = ("masked_people", "masked_wide", "masked_view", "masked_safe_view", "masked_deep_view")


def tell(cluster, *statements):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        cursor.execute("SELECT 1")


@pytest.fixture(scope="module")
def people(cluster):
    """A table with secrets, and views of it, on every node."""
    wide = ", ".join(f"column_{number} INT" for number in range(40))
    tell(
        cluster,
        *(f"DROP VIEW IF EXISTS shop.{name}" for name in NAMES[2:]),
        "DROP TABLE IF EXISTS shop.masked_people, shop.masked_wide",
        "CREATE TABLE shop.masked_people (id INT PRIMARY KEY, name VARCHAR(40), email VARCHAR(80) UNIQUE,"
        f" card VARCHAR(40), notes JSON, {wide}, FULLTEXT (email))",
        f"INSERT INTO shop.masked_people (id, name, email, card) VALUES (1, 'ann', '{SECRET}', '4000-masked-card'),"
        " (2, 'ben', NULL, NULL)",
        "CREATE VIEW shop.masked_view AS SELECT id AS a, email AS b FROM shop.masked_people",
        "CREATE VIEW shop.masked_safe_view AS SELECT id AS a, name AS b FROM shop.masked_people",
        "CREATE VIEW shop.masked_deep_view AS SELECT b FROM shop.masked_view",
    )
    yield cluster
    tell(
        cluster,
        *(f"DROP VIEW IF EXISTS shop.{name}" for name in NAMES[2:]),
        "DROP TABLE IF EXISTS shop.masked_people",
    )


@pytest.fixture
def config(people, tmp_path):
    config = demo_configuration(people, tmp_path)
    policy = tmp_path / "masked.yaml"
    policy.write_text(POLICY)
    policy.chmod(0o600)
    under_agents(config, str(policy))
    return config


def queries(*texts):
    return [("query", {"sql": text}) for text in texts]


def test_a_masked_column_is_masked_wherever_it_is_selected(config):
    plain, alias, star, saved, join, others = asked(
        config,
        *queries(
            "SELECT id, email FROM masked_people ORDER BY id",
            "SELECT p.email AS mail, p.id FROM shop.masked_people p WHERE p.id = 1",
            "SELECT * FROM masked_people ORDER BY id",
        ),
        ("query", {"sql": "SELECT id, email, card FROM masked_people", "save": "csv"}),
        *queries(
            "SELECT p.*, o.id AS order_id FROM masked_people p JOIN orders o ON o.id = p.id",
            "SELECT a, b FROM masked_safe_view WHERE a = 1",
        ),
    )
    assert said(plain)["rows"] == [[1, "[masked]"], [2, "[masked]"]]
    assert "shop.masked_people.email" in said(plain)["notes"][0]
    assert said(alias)["rows"] == [["[masked]", 1]]
    (first, _) = said(star)["rows"]
    assert first[:4] == [1, "ann", "[masked]", "[masked]"]
    with open(said(saved)["saved"], encoding="utf-8") as file:
        assert file.read().splitlines()[1] == "1,[masked],[masked]"
    assert said(join)["rows"][0][2] == "[masked]"
    assert said(others)["rows"] == [[1, "ann"]]


ATTEMPTS = (
    f"SELECT id FROM masked_people WHERE email = '{SECRET}'",
    "SELECT id, UPPER(email) FROM masked_people",
    "SELECT id, email FROM masked_people ORDER BY 2",
    "SELECT b FROM masked_view",
    "SELECT * FROM masked_view",
    "SELECT b FROM masked_deep_view",
    "SELECT d.x FROM (SELECT email AS x FROM masked_people) d",
    "WITH d AS (SELECT * FROM masked_people) SELECT * FROM d",
    "SELECT id FROM masked_people UNION SELECT email FROM masked_people",
    "SELECT * FROM masked_people NATURAL JOIN (SELECT 1 AS id) x",
    "EXPLAIN SELECT * FROM masked_people WHERE id = 1",
    f"EXPLAIN SELECT id FROM masked_people WHERE email = '{SECRET}'",
    "SELECT JSON_ARRAYAGG(email) FROM masked_people",
    "SELECT id FROM masked_people WHERE `\u00e9mail` LIKE 'a%'",
    "SELECT id FROM masked_people WHERE EMA\u0130L LIKE 'a%'",
    "SELECT `\u00e9mail` FROM masked_people",
    "SELECT id, em\u00e4il FROM masked_people",
    "SELECT EMA\u0130L FROM masked_people",
    "SELECT `email ` FROM masked_people",
    "SELECT email 'id' FROM masked_people",
    "SELECT id FROM masked_people WHERE MATCH (email) AGAINST ('masked')",
    "SELECT lock_data FROM performance_schema.data_locks",
    "SELECT histogram FROM information_schema.column_statistics",
    "SELECT min_value FROM mysql.column_stats",
    "SHOW FULL PROCESSLIST",
    "TABLE masked_people",
)


def test_no_other_way_gives_a_value_or_answers_a_guess(config):
    answers = asked(config, *queries(*ATTEMPTS))
    for text, answer in zip(ATTEMPTS, answers, strict=True):
        told = json.dumps(said(answer)).replace(json.dumps(text)[1:-1], "")
        assert SECRET not in told.replace(SECRET, "", text.count(SECRET)), (text, told)
        if not answer.is_error:
            # What a server takes for the column is masked, whatever we took it for.
            assert {cell for row in said(answer)["rows"] for cell in row} <= {"[masked]", 1, 2}, text
        elif said(answer)["error"] == "denied":
            assert not any("estimate" in line for line in said(answer)["evidence"]), text


def test_a_guess_is_answered_alike_whether_it_is_right(config):
    right, wrong = asked(
        config,
        *(
            ("check", {"sql": f"SELECT id FROM masked_people WHERE email = '{guess}'"})
            for guess in (SECRET, SECRET.replace("ann", "bob"))
        ),
    )
    told = [
        {name: value for name, value in said(each)["statements"][0].items() if name != "sql"} for each in (right, wrong)
    ]
    assert told[0] == told[1]
    assert told[0]["verdict"] == "deny" and told[0]["rules"][-1] == "masked-columns"


def test_the_refusal_says_what_to_do_and_that_no_approval_helps(config):
    refused, asked_for = asked(
        config,
        *queries("SELECT id FROM masked_people WHERE email LIKE 'a%'"),
        ("request_elevation", {"sql": "SELECT UPPER(email) FROM masked_people", "reason": "curious"}),
    )
    assert "shop.masked_people.email is masked" in said(refused)["message"]
    assert "without the masked ones" in said(refused)["instead"]
    assert "no person can approve it" in said(refused)["next"]
    assert asked_for.is_error and "approve" not in said(asked_for)["message"]
