"""Tokens that several gateways share, in a database: issued by one program, they count for all; revoked, for none."""

import time

import pymysql
import pymysql._auth
import pytest

from safeconsole.config.settings import GatewaySettings
from safeconsole.errors import ConfigurationError
from safeconsole.gateway.token_database import BELIEVED_SECONDS, READ_AGAIN_SECONDS, open_token_database
from tests.gateway.test_tokens import NONCE, NOW, issued
from tests.harness.gateway import serving


class Moment:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


def tokens_in(url, **environ):
    settings = GatewaySettings(tokens=url, secret_variable=next(iter(environ), ""))
    return open_token_database(settings, environ)


def check_tokens(url, **environ):
    """What two programs see of one another's tokens; also run on real servers."""
    office, gateway = tokens_in(url, **environ), tokens_in(url, **environ)
    assert gateway.all() == ()
    text, stored = issued(office, native=True)
    assert text not in repr(stored)
    proof = pymysql._auth.scramble_caching_sha2(text.encode(), NONCE)
    # A login that just missed it looks again.
    assert gateway.proven_by_sha256(proof, NONCE, NOW + 1) == stored
    assert gateway.named_by(text, NOW + 60) is None
    assert gateway.valid(stored.id, NOW + 1)
    with pytest.raises(ConfigurationError, match="no token nowhere"):
        office.revoke("nowhere", now_epoch=NOW)
    revoked = office.revoke(stored.id, now_epoch=NOW + 2)
    assert office.revoke(stored.id, now_epoch=NOW + 3) == revoked
    time.sleep(READ_AGAIN_SECONDS)
    assert not gateway.valid(stored.id, NOW + 1)
    assert gateway.proven_by_sha256(proof, NONCE, NOW + 1) is None
    _, second = issued(office, now_epoch=NOW + 31 * 86_400)
    assert [each.id for each in office.all()] == [second.id]


def test_two_programs_share_them(tmp_path):
    check_tokens(f"sqlite:///{tmp_path}/team/tokens.db")
    assert (tmp_path / "team" / "tokens.db").stat().st_mode & 0o777 == 0o600


def test_while_the_database_is_away_nobody_logs_in_and_who_is_in_stays_for_a_while(tmp_path):
    tokens = tokens_in(f"sqlite:///{tmp_path}/tokens.db")
    tokens._seconds = moment = Moment()
    text, stored = issued(tokens)
    assert tokens.valid(stored.id, NOW + 1)
    (tmp_path / "tokens.db").unlink()
    (tmp_path / "tokens.db").mkdir()
    moment.seconds += READ_AGAIN_SECONDS
    with pytest.raises(ConfigurationError, match="cannot be used"):
        tokens.named_by(text, NOW + 1)
    assert tokens.valid(stored.id, NOW + 1)
    assert not tokens.valid("another", NOW + 1)
    assert not tokens.valid(stored.id, NOW + 60)
    moment.seconds += BELIEVED_SECONDS
    assert not tokens.valid(stored.id, NOW + 1)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (GatewaySettings(tokens="nothing://x"), "cannot be used"),
        (GatewaySettings(tokens="mysql+pymysql://a:{secret}@db.example/x", secret_variable="S"), "S is not set"),
        (GatewaySettings(tokens="mysql+pymysql://a@db.example/x"), "no authority"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(settings, told):
    with pytest.raises(ConfigurationError, match=told):
        open_token_database(settings, {})


def test_a_token_counts_at_every_gateway_until_it_is_revoked(shared_clusters, tmp_path):
    cluster, settings = shared_clusters("mysql"), f'[gateway]\ntokens = "sqlite:///{tmp_path}/tokens.db"\n'
    with (
        serving(cluster, tmp_path / "one", settings=settings) as one,
        serving(cluster, tmp_path / "two", settings=settings) as two,
    ):
        token = one.token("anna")
        held = [each.connect("anna", token) for each in (one, two)]
        for connection in held:
            connection.ping()
        (listed,) = two.command("token", "list", "--format", "tsv").stdout.splitlines()[1:]
        token_id = listed.split("\t")[0]
        assert two.command("token", "revoke", token_id).returncode == 0
        for connection in held:
            deadline = time.monotonic() + 20
            with pytest.raises(pymysql.err.OperationalError):
                while time.monotonic() < deadline:
                    connection.ping(reconnect=False)
                    time.sleep(0.05)
            connection._force_close()
        for each in (one, two):
            with pytest.raises(pymysql.err.OperationalError) as raised:
                each.connect("anna", token)
            assert raised.value.args[0] == 1045
