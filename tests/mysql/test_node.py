"""A password is fetched once for connections that are opened together, and not kept for later ones."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import asdict

from safeconsole.config.secrets import Secret
from safeconsole.mysql.dialling import HOLD_SECONDS, HeldSecret
from safeconsole.errors import ConfigurationError


class Source:
    def __init__(self):
        self.asked = []

    def secret(self, cluster, account, node=""):
        self.asked.append((cluster, account, node) if node else (cluster, account))
        return Secret(account=account, password=f"secret {len(self.asked)}")


class Locked:
    def __init__(self):
        self.asked = 0

    def secret(self, cluster, account, node=""):
        self.asked += 1
        raise ConfigurationError("locked")


class Hand:
    """A clock that stands still until it is set."""

    now = 100.0

    def monotonic(self):
        return self.now


def held(source, clock=None):
    return HeldSecret(source, clock or Hand(), cluster="shop", account="reader")


def test_threads_that_ask_together_cause_one_fetch():
    source = Source()
    password = held(source)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: password.get().password, range(32))) == {"secret 1"}
    assert source.asked == [("shop", "reader")]


def test_it_is_fetched_anew_when_the_time_is_over():
    clock = Hand()
    password = held(Source(), clock)
    assert password.get().password == "secret 1"
    clock.now += HOLD_SECONDS
    assert password.get().password == "secret 1"
    clock.now += 0.1
    assert password.get().password == "secret 2"


def test_a_source_that_refuses_is_asked_again():
    source = Locked()
    password = held(source)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="locked"):
            password.get().password
    assert source.asked == 2


def test_what_is_good_for_one_node_is_fetched_for_each():
    source = Source()
    password = HeldSecret(source, Hand(), cluster="shop", account="reader", is_by_node=True)
    assert [password.get(node).password for node in ("a:1", "b:1", "a:1")] == ["secret 1", "secret 2", "secret 1"]
    assert source.asked == [("shop", "reader", "a:1"), ("shop", "reader", "b:1")]


def test_it_is_not_shown():
    password = held(Source())
    password.get().password
    assert "secret" not in repr(password)


class Leasing(Source):
    """A source whose secrets live for ten seconds; away as long as it is told to be."""

    is_away = False

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def secret(self, cluster, account, node=""):
        if self.is_away:
            raise ConfigurationError("away")
        now = self.clock.now
        return Secret(
            **{**asdict(super().secret(cluster, account)), "renew_seconds": now + 8, "ends_seconds": now + 10}
        )


def test_what_is_leased_is_held_until_most_of_its_lease_is_over():
    clock = Hand()
    source = Leasing(clock)
    password = held(source, clock)
    assert password.get().password == "secret 1"
    clock.now += 8
    assert password.get().password == "secret 1"
    clock.now += 0.1
    assert password.get().password == "secret 2"


def test_a_source_that_is_away_ends_no_lease_before_its_end():
    clock = Hand()
    source = Leasing(clock)
    password = held(source, clock)
    password.get()
    source.is_away = True
    clock.now += 9.9
    assert password.get().password == "secret 1"
    clock.now += 0.1
    with pytest.raises(ConfigurationError, match="away"):
        password.get()
