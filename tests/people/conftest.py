"""Two people with accounts of their own, a shop, and a receiver of notices."""

import pytest

from tests.approvals.test_notices import Receiver
from tests.people.accounts import team, why_no_names, why_no_real_accounts


@pytest.fixture(scope="module")
def teams():
    """A function that puts up each kind of team once."""
    made, up = {}, []

    def team_of(kind):
        why = why_no_real_accounts() if kind == "users" else ""
        why = why or why_no_names()
        if why:
            pytest.skip(why)
        if kind not in made:
            up.append(team(real=kind == "users"))
            made[kind] = up[-1].__enter__()
        return made[kind]

    yield team_of
    for each in up:
        each.__exit__(None, None, None)


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.hang.set()
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def people(teams, receiver):
    found = teams("names")
    found.configure(keys="file", webhook=receiver.url)
    return found
