"""A receiver of notices that fails, hangs and comes back, through whole sessions on the embedded cluster."""

import time
from pathlib import Path

import pytest

from safeconsole.config.policies import PolicyFiles

ALL = ["asked", "granted", "used", "ended (expired)"]
CHANGE = "UPDATE orders SET status = 'paid' WHERE id = 3"
JUSTIFICATION = ("--reason", "incident", "--ticket", "OPS-7", "--confirm", "shop")


@pytest.fixture
def change(people, receiver):
    """A function that runs an elevated change; returns its exit code, messages and seconds."""

    for left in people.journals.parent.glob("notices/*"):
        left.unlink()

    def run(*, required=False):
        baseline = Path(PolicyFiles().load("baseline").source).read_text(encoding="utf-8")
        assert "notice_required" not in baseline
        policy = people.ann.home / "mine.yaml"
        policy.write_text(baseline.replace("elevation:\n", f"elevation:\n  notice_required: {str(required).lower()}\n"))
        people.configure(keys="file", webhook=receiver.url, policy=str(policy))
        began = time.monotonic()
        console = people.ann.start("sql", "shop", "-e", CHANGE, *JUSTIFICATION).vouched()
        code, _ = console.end()
        return code, console.messages, time.monotonic() - began

    return run


def spooled(people):
    return sorted(path.suffix for path in people.journals.parent.glob("notices/[!.]*"))


def told(receiver, count):
    return receiver.wait(count)


def notices(people):
    return [record["detail"] for record in people.records() if record["type"] == "notice"]


def test_a_receiver_that_takes_them_gets_every_step_in_order(change, people, receiver):
    assert change()[0] == 0
    assert told(receiver, 4) == ALL
    assert spooled(people) == []


def test_a_receiver_that_fails_stops_nothing_and_gets_all_of_it_from_the_next_session(change, people, receiver):
    receiver.status = 500
    code, messages, _ = change()
    assert code == 0
    assert "a notice to webhook is not delivered yet: webhook 127.0.0.1" in messages
    assert spooled(people) == [".webhook"] * 4
    assert "not delivered yet" in notices(people)[0]
    receiver.status = 200
    assert change()[0] == 0
    assert told(receiver, 8) == ALL + ALL
    assert spooled(people) == []


def test_a_receiver_that_hangs_holds_nobody_up_and_gets_them_later(change, people, receiver):
    quick = change()[2]
    receiver.hang.clear()
    code, messages, seconds = change()
    assert code == 0
    # Leaving waits two seconds; a receiver would be waited for five, four times.
    assert seconds < quick + 12
    assert "still on its way" in messages
    assert len(spooled(people)) >= 3
    receiver.hang.set()
    change()
    got = told(receiver, 12)
    # What was being taken while we left may come twice, and nothing is lost.
    assert len(got) >= 12
    assert spooled(people) == []


@pytest.mark.parametrize("trouble", ["fails", "hangs", "is gone"])
def test_where_the_policy_demands_it_nothing_is_granted_before_others_know(change, people, receiver, trouble):
    if trouble == "fails":
        receiver.status = 503
    elif trouble == "hangs":
        receiver.hang.clear()
    else:
        receiver.server.shutdown()
        receiver.server.server_close()
    code, messages, _ = change(required=True)
    assert code == 3
    assert "it was not delivered: webhook: webhook 127.0.0.1" in messages
    states = [record["state"] for record in people.records() if record["type"] == "elevation"]
    assert states == ["asked", "declined"]
    assert not [record for record in people.records() if record["type"] == "intent"]


def test_where_the_policy_demands_it_a_receiver_that_is_back_is_enough(change, receiver):
    receiver.status = 503
    assert change(required=True)[0] == 3
    receiver.status = 200
    assert change(required=True)[0] == 0
    got = told(receiver, 7)
    assert got.index("about to be granted") < got.index("granted")
