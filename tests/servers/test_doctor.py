"""The doctor on real servers: what it finds is so, and what it says mends it."""

import json
import os
import re
from pathlib import Path

import pytest

from safeconsole.diagnosis.asking import Diagnosing
from safeconsole.dialects import DIALECTS
from safeconsole.dialects.grants import grant_statements
from safeconsole.sqltext.vocabulary import Account, Flavour
from safeconsole.app import run
from safeconsole.errors import ConfigurationError
from tests.harness.desk import seated

USER, PASSWORD = "examined", "of-the-examined"
WIDE = (
    "GRANT SELECT ON *.* TO 'examined'@'%'",
    "GRANT PROCESS ON *.* TO 'examined'@'%'",
    "GRANT INSERT, SELECT ON shop.* TO 'examined'@'%' WITH GRANT OPTION",
    "GRANT UPDATE (total) ON shop.orders TO 'examined'@'%'",
)


@pytest.fixture
def tell(cluster):
    """A function that lets the primary's owner say statements, which reach the replicas."""

    def say(*statements):
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        cluster.wait_caught_up()

    return say


@pytest.fixture
def examined(cluster, tell, tmp_path, capfd):
    """A function that has the doctor examine the cluster as an account with these grants and no others."""
    config = tmp_path / "config.toml"
    nodes = ", ".join(f'"{node.host}:{node.port}"' for node in cluster.nodes)
    config.write_text(
        f'[clusters.shop]\nnodes = [{nodes}]\nschema = "shop"\n[clusters.shop.accounts]\nread = "{USER}"\n'
        f'[clusters.shop.secrets]\nsources = ["command"]\ncommand = ["echo", "{PASSWORD}"]\n'
        f'[clusters.shop.tls]\nmode = "disabled"\n[audit]\ndirectory = "{tmp_path / "audit"}"\n'
    )

    def examine():
        capfd.readouterr()
        code = run(
            ["--config", str(config), "doctor", "shop", "--format", "json"], {**os.environ, "HOME": str(tmp_path)}
        )
        return code, json.loads(capfd.readouterr().out)

    yield examine
    tell(f"DROP USER IF EXISTS '{USER}'@'%'")


def test_the_printed_grants_make_an_account_that_nothing_is_wrong_with(cluster, tell, examined):
    tell(*_made(cluster))
    code, checks = examined()
    assert code == 0
    (locks,) = [check for check in checks if check["what"] == "configuration"]
    assert (locks["finding"], "locked = true" in locks["remedy"]) == ("advice", True)
    grants = [check for check in checks if check["what"].startswith("grants of")]
    assert [check["finding"] for check in grants] == ["good"] * len(cluster.nodes)


def test_what_it_says_of_too_wide_an_account_mends_it(cluster, tell, examined):
    tell(*_made(cluster), *WIDE)
    code, checks = examined()
    assert code == 2
    wrong = [check for check in checks if check["finding"] == "wrong"]
    assert {check["where"] for check in wrong} == {f"{node.host}:{node.port}" for node in cluster.nodes}
    told = {check["detail"].split(" ON ")[0] for check in wrong if ": wide" in check["what"]}
    assert told >= {"SELECT", "PROCESS", "INSERT", "UPDATE (`total`)"}
    tell(*dict.fromkeys(check["remedy"] for check in wrong if check["remedy"].startswith("REVOKE")))
    code, checks = examined()
    # The owner's REVOKE of SELECT on every schema and of what can be handed on leaves what is needed.
    assert [check for check in checks if ": wide" in check["what"]] == []
    assert code == 0


def test_what_is_missing_is_said_with_the_grant_that_gives_it(cluster, tell, examined):
    tell(*(line for line in _made(cluster) if "innodb_index_stats" not in line))
    code, checks = examined()
    assert code == 0
    (remedy,) = {check["remedy"] for check in checks if ": missing" in check["what"]}
    tell(remedy)
    assert not [check for check in examined()[1] if ": missing" in check["what"]]


def test_what_an_active_role_brings_is_seen_or_said_not_to_be(cluster, tell, examined):
    default = {
        "mysql": "SET DEFAULT ROLE too_much TO 'examined'@'%'",
        "mariadb": "SET DEFAULT ROLE too_much FOR 'examined'@'%'",
    }[cluster.flavour]
    tell("CREATE ROLE too_much", "GRANT DELETE ON shop.* TO too_much", *_made(cluster))
    try:
        tell("GRANT too_much TO 'examined'@'%'", default)
        _, checks = examined()
    finally:
        tell("DROP ROLE too_much")
    told = [check for check in checks if check["what"].startswith("grants of")]
    if cluster.flavour == "mysql":
        assert any("DELETE" in check["detail"] and check["finding"] == "wrong" for check in told)
    else:
        assert any("too_much" in check["detail"] and check["finding"] != "good" for check in told)


def _made(cluster):
    lines = grant_statements(DIALECTS[Flavour(cluster.flavour)], Account.READ, user=USER, schema="shop")
    return [line.replace("…", PASSWORD) for line in lines]


ADVISED = {"read": "advised_read", "elevated": "advised_elevated", "diagnose": "advised_diagnose"}


def test_what_is_advised_for_each_job_lets_it_run_and_is_nothing_that_the_doctor_objects_to(
    cluster, tell, tmp_path, capfd
):
    """`\\processlist` points to `doctor --grants`, docs/capacity.md has grants of its own: each is run as it stands."""
    desk = tmp_path / "desk"
    secrets = {"sources": ["command"], "command": ["echo", PASSWORD]}
    settings = {"accounts": ADVISED, "secrets": secrets, "engine": cluster.flavour}
    with seated(cluster, desk, diagnoses=False) as before:
        asks = Diagnosing(session=before.session, dialect=DIALECTS[Flavour(cluster.flavour)], to="primary")
        with pytest.raises(ConfigurationError) as lacking:
            asks.locks()
    assert lacking.value.instead.endswith("`safeconsole doctor shop --grants` prints what makes it")

    def asked(*words):
        capfd.readouterr()
        code = run(["--config", str(desk / "config.toml"), *words], {**os.environ, "HOME": str(desk), "USER": "ada"})
        return code, capfd.readouterr().out

    with seated(cluster, desk, **settings):
        code, printed = asked("doctor", "shop", "--grants")
    grants = [
        line.removesuffix(";").replace("…", PASSWORD) for line in printed.splitlines() if not line.startswith("--")
    ]
    page = (Path(__file__).parents[2] / "docs" / "capacity.md").read_text(encoding="utf-8")
    of_docs = re.findall(r"GRANT [^;]+ TO 'console_read'@'…'(?=;)", page)
    assert (code, len(of_docs)) == (0, 2)
    try:
        tell(*grants, *(line.replace("'console_read'@'…'", "'advised_read'@'%'") for line in of_docs))
        with seated(cluster, desk, **settings) as after:
            asks = Diagnosing(session=after.session, dialect=DIALECTS[Flavour(cluster.flavour)], to="primary")
            assert asks.sees_others
            asks.working()
            assert isinstance(asks.locks().sessions, tuple)
            assert asks.numbers()["threads_connected"] > 0
        for words in (("--indexes", "2"), ("--leftovers",), ("--unseen",)):
            assert asked("capacity", "shop", *words)[0] == 0, words
        code, told = asked("doctor", "shop", "--format", "json")
        grants = [check for check in json.loads(told) if check["what"].startswith("grants of")]
        assert code == 0
        assert {check["finding"] for check in grants} == {"good"}
        assert len(grants) == 2 * len(cluster.nodes)
    finally:
        tell(*(f"DROP USER IF EXISTS '{account}'@'%'" for account in ADVISED.values()))
