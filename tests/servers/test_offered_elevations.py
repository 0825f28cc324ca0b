"""A refusal offers no elevation that the elevated account cannot use: it says itself what it may, when it is first there."""

import json
import stat

from safeconsole.capacity.asking import Asker
from safeconsole.config.kept_grants import BELIEVED_SECONDS, KeptGrants
from safeconsole.dialects import DIALECTS
from safeconsole.doctor import examine
from safeconsole.errors import Action, RefusedError
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour
from tests.harness.desk import seated


def offer(error):
    """What a refusal offers, and what it says that the account lacks."""
    lacks = [line.removeprefix("the elevated account has no ") for line in error.evidence if "account has no" in line]
    return Action.ELEVATE in {remedy.action for remedy in error.remedies}, lacks


LACKING = {
    "DELETE FROM elsewhere.orders WHERE id = 1": "DELETE on elsewhere.orders",
    "DROP TABLE elsewhere.orders": "DROP on elsewhere.orders",
    "TRUNCATE elsewhere.orders": "DROP on elsewhere.orders",
    "INSERT INTO elsewhere.orders (id) VALUES (1)": "INSERT on elsewhere.orders",
    "CREATE VIEW seen AS SELECT 1 AS x": "CREATE VIEW on shop.seen",
}
HELD = (
    "UPDATE orders SET status = 'x' WHERE id = -1",
    "INSERT INTO orders (id) SELECT id FROM elsewhere.orders",
    "DROP TABLE orders",
    "ALTER TABLE orders ADD c INT",
    "KILL 999999999",
)


def test_what_the_account_lacks_is_not_offered_once_it_said_so(cluster, tmp_path):
    with seated(cluster, tmp_path / "d", justification=None) as desk:
        # Nobody asks the elevated account anything before somebody is elevated.
        assert [offer(desk.error_of(text)) for text in LACKING] == [(True, [])] * len(LACKING)
        desk.session.elevate(reason="a test")
        desk.run(HELD[0])
        desk.session.stand_down()
        assert {text: offer(desk.error_of(text)) for text in LACKING} == {
            text: (False, [lacks]) for text, lacks in LACKING.items()
        }
        assert {text: offer(desk.error_of(text)) for text in HELD} == dict.fromkeys(HELD, (True, []))
        assert "safeconsole doctor --grants" in desk.error_of(next(iter(LACKING))).instead


def test_what_only_an_administrator_may_is_not_offered_either(private_cluster, tmp_path):
    cluster = private_cluster("mysql", replicas=0)
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("REVOKE CONNECTION_ADMIN ON *.* FROM console_elevated@'%'")
    with seated(cluster, tmp_path / "d", justification=None) as desk:
        desk.session.elevate(reason="a test")
        desk.run(HELD[0])
        desk.session.stand_down()
        assert offer(desk.error_of("KILL 999999999")) == (False, ["CONNECTION_ADMIN"])


def kept_file(directory):
    return directory / ".local/state/safeconsole/grants/shop.json"


def offered(cluster, directory, text):
    """What the first refusal of a new process offers."""
    with seated(cluster, directory, justification=None) as desk:
        return offer(desk.error_of(text))


def test_the_next_process_knows_it_too_for_a_day(cluster, tmp_path):
    text, lacks = next(iter(LACKING.items()))
    with seated(cluster, tmp_path, justification=None) as desk:
        desk.session.elevate(reason="a test")
        desk.run(HELD[0])
    file = kept_file(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    told = f"{lacks} on primary 0 min ago; every elevation asks it anew"
    with seated(cluster, tmp_path, justification=None) as desk:
        error = desk.error_of(text)
        assert (offer(error)[0], error.evidence[-1]) == (False, f"the elevated account had no {told}")
        assert offer(desk.error_of(HELD[0])) == (True, [])
        # An elevation that the person asks for by themselves is as it was, and the server's word is the last.
        desk.session.elevate(reason="it was granted since")
        assert desk.error_of(text).number in {1142, 1146}
    good = file.read_bytes()
    day_old = [{**each, "read_epoch": each["read_epoch"] - BELIEVED_SECONDS} for each in json.loads(good)]
    elsewhere = [{**each, "server": "another"} for each in json.loads(good)]
    later = [{**each, "read_epoch": each["read_epoch"] + 3600} for each in json.loads(good)]
    for changed in (day_old, elsewhere, later, {"account": 7}):
        file.write_text(json.dumps(changed))
        assert offered(cluster, tmp_path, text) == (True, []), changed
    file.write_bytes(good)
    file.chmod(0o666)
    assert offered(cluster, tmp_path, text) == (True, [])
    file.unlink()
    file.symlink_to(tmp_path / "config.toml")
    assert offered(cluster, tmp_path, text) == (True, [])


def test_what_is_kept_permits_nothing(cluster, tmp_path):
    with seated(cluster, tmp_path, justification=None) as desk:
        desk.session.elevate(reason="a test")
        desk.run(HELD[0])
    file = kept_file(tmp_path)
    everything = {"name": "ALL PRIVILEGES"}
    rich = [{**each, "held": {**each["held"], "privileges": [everything]}} for each in json.loads(file.read_text())]
    file.write_text(json.dumps(rich))
    with seated(cluster, tmp_path, justification=None) as desk:
        for text in (*LACKING, *HELD):
            assert isinstance(desk.error_of(text), RefusedError), text
        assert not desk.records("intent")[1:] or {each["account"] for each in desk.records("intent")[1:]} == {"read"}


def test_doctor_judges_what_the_elevated_account_said(cluster, tmp_path):
    with seated(cluster, tmp_path, justification=None) as desk:
        desk.session.elevate(reason="a test")
        desk.run(HELD[0])
        asker = Asker(session=desk.session, rules=lambda: LexicalRules(dialect=DIALECTS[Flavour(cluster.flavour)]))
        cluster_settings = desk.program.settings().cluster("shop")
        kept = KeptGrants(desk.program.state_directory(desk.program.person), "shop")
        checks = [check for check in examine(asker, cluster_settings, kept) if "console_elevated" in check.what]
    assert {check.where for check in checks} == {"primary"}
    assert all(check.detail.endswith("as it said 0 min ago") for check in checks)
