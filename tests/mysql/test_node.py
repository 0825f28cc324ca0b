"""A password is fetched once for connections that are opened together, and not kept for later ones."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from safeconsole.mysql.node import HOLD_SECONDS, HeldPassword
from safeconsole.errors import ConfigurationError


class Source:
    def __init__(self):
        self.asked = []

    def password(self, cluster, account, node=""):
        self.asked.append((cluster, account, node) if node else (cluster, account))
        return f"secret {len(self.asked)}"


class Locked:
    def __init__(self):
        self.asked = 0

    def password(self, cluster, account, node=""):
        self.asked += 1
        raise ConfigurationError("locked")


class Hand:
    """A clock that stands still until it is set."""

    now = 100.0

    def monotonic(self):
        return self.now


def held(source, clock=None):
    return HeldPassword(source, clock or Hand(), cluster="shop", account="reader")


def test_threads_that_ask_together_cause_one_fetch():
    source = Source()
    password = held(source)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: password.get(), range(32))) == {"secret 1"}
    assert source.asked == [("shop", "reader")]


def test_it_is_fetched_anew_when_the_time_is_over():
    clock = Hand()
    password = held(Source(), clock)
    assert password.get() == "secret 1"
    clock.now += HOLD_SECONDS
    assert password.get() == "secret 1"
    clock.now += 0.1
    assert password.get() == "secret 2"


def test_a_source_that_refuses_is_asked_again():
    source = Locked()
    password = held(source)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="locked"):
            password.get()
    assert source.asked == 2


def test_what_is_good_for_one_node_is_fetched_for_each():
    source = Source()
    password = HeldPassword(source, Hand(), cluster="shop", account="reader", is_by_node=True)
    assert [password.get(node) for node in ("a:1", "b:1", "a:1")] == ["secret 1", "secret 2", "secret 1"]
    assert source.asked == [("shop", "reader", "a:1"), ("shop", "reader", "b:1")]


def test_it_is_not_shown():
    password = held(Source())
    password.get()
    assert "secret" not in repr(password)
