"""A refusal offers no elevation that the elevated account cannot use: it says itself what it may, when it is first there."""

from safeconsole.errors import Action
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
