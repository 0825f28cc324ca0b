"""An agent's request waits for a person, and their answer counts once, for exactly it, from a later session."""

import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from safeconsole.approvals.carrying import request_text, sign, waiting_requests
from safeconsole.approvals.waiting import FOLDER, WaitingRequests, mailbox_of
from safeconsole.approvals.requests import ApprovalRequest, approval_from_code, request_code, request_from_code
from safeconsole.errors import ConfigurationError, RefusedError
from tests.approvals.test_approvals import keys, settings  # noqa: F401 (fixtures)
from tests.approvals.test_approval import asked


def live(seconds=60, **changes):
    return asked(expires_epoch=int(time.time()) + seconds, agent="ci", **changes)


@pytest.fixture(params=["directory", "database", "by hand"])
def way(request, settings, tmp_path):  # noqa: F811
    """Sessions one after the other, and bob, who answers what waits."""
    shared = tmp_path / "shared"
    shared.mkdir()
    if request.param == "directory":
        settings = msgspec.structs.replace(settings, directory=str(shared))
    if request.param == "database":
        settings = msgspec.structs.replace(settings, database=f"sqlite:///{tmp_path}/requests.db")
    return Way(tmp_path, settings)


class Way:
    def __init__(self, place, settings):
        self.place, self.settings, self.answer = place, settings, ""

    @property
    def is_carried(self):
        """Whether nobody carries texts by hand."""
        return bool(self.settings.directory or self.settings.database)

    def lying(self):
        return waiting_requests(self.settings) if self.is_carried else ()

    def session(self):
        return WaitingRequests(self.place, self.settings, given="" if self.is_carried else self.answer)

    def put_down(self, request):
        return self.session().put_down(request)

    def approve(self, code):
        request = request_from_code(request_text(code, self.settings))
        self.answer = sign(request, self.settings, approver="bob")


def test_nothing_waits_where_nothing_was_put_down(way):
    assert way.session().earlier(live()) is None


def test_a_later_session_uses_the_answer_once(way):
    first = live(id="s1.1", evidence=("lag 0 s",))
    waiting = way.put_down(first)
    assert waiting.by_hand != way.is_carried
    assert way.session().earlier(live(id="s2.1")) is None
    way.approve(waiting.code)
    found, approval = way.session().earlier(live(id="s2.1", evidence=("lag 3 s",)))
    assert (found, approval.approver) == (first, "bob")
    if way.is_carried:
        assert way.session().earlier(live(id="s3.1")) is None
    else:
        with pytest.raises(RefusedError, match="counts once"):
            way.session().earlier(live(id="s3.1"))


def test_asking_again_finds_what_waits_already(way):
    first = way.put_down(live(id="s1.1"))
    assert way.put_down(live(id="s2.1")) == first
    way.approve(first.code)
    assert way.session().earlier(live(id="s3.1"))
    assert way.put_down(live(id="s4.1")) != first


@pytest.mark.parametrize("field", sorted(set(ApprovalRequest.__struct_fields__) - {"id", "evidence", "expires_epoch"}))
def test_the_answer_counts_for_nothing_else(way, field):
    way.approve(way.put_down(live(id="s1.1")).code)
    changed = msgspec.structs.replace(live(id="s2.1"), **{field: 901.0 if field == "window_seconds" else "other"})
    if way.is_carried:
        assert way.session().earlier(changed) is None
    else:
        with pytest.raises(RefusedError, match="no request that waits here"):
            way.session().earlier(changed)


def test_after_its_time_nothing_counts_and_all_of_it_is_cleared_away(way):
    waiting = way.put_down(live(id="s1.1", seconds=2))
    way.approve(waiting.code)
    time.sleep(2.1)
    if way.is_carried:
        assert way.session().earlier(live(id="s2.1")) is None
    else:
        with pytest.raises(RefusedError):
            way.session().earlier(live(id="s2.1"))
    way.put_down(live(id="s3.1"))
    assert [path.stem for path in (way.place / FOLDER).iterdir()] == ["s3-1"]
    assert [name for name, _ in way.lying()] == ["s3-1"] * way.is_carried


def test_a_request_that_gave_itself_more_time_than_the_configuration_is_not_believed(way):
    way.approve(way.put_down(live(id="s1.1", seconds=10_000)).code)
    if way.is_carried:
        assert way.session().earlier(live(id="s2.1")) is None
    else:
        with pytest.raises(RefusedError):
            way.session().earlier(live(id="s2.1"))


def test_an_answer_that_nobody_configured_signed_does_not_count(way, tmp_path):
    waiting = way.put_down(live(id="s1.1"))
    way.approve(waiting.code)
    way.settings = msgspec.structs.replace(way.settings, approvers={"eve": "0" * 64})
    with pytest.raises(RefusedError, match="not an approver in this console"):
        way.session().earlier(live(id="s2.1"))


def test_of_two_sessions_at_once_one_gets_it(way):
    way.approve(way.put_down(live(id="s1.1")).code)

    def use(number):
        try:
            return way.session().earlier(live(id=f"s{number}.1"))
        except RefusedError:
            return None

    with ThreadPoolExecutor(8) as pool:
        assert sum(found is not None for found in pool.map(use, range(2, 34))) == 1


def test_what_is_written_into_it_by_hand_is_passed_over(way):
    way.put_down(live(id="s1.1"))
    folder = way.place / FOLDER
    (folder / "junk.request").write_text("sc-request-AAAA")
    (folder / "empty.request").write_text("")
    (folder / "there.request").symlink_to("/etc/passwd")
    assert way.session().earlier(live(id="s2.1")) is None if way.is_carried else True
    assert way.put_down(live(id="s2.1")).request.id == "s1.1"


def test_an_agent_that_writes_its_own_request_gets_no_signature_by_it(way):
    way.put_down(live(id="s1.1"))
    way.approve(request_code(live(id="s0.1", sql="DROP TABLE u", digest="e")) if not way.is_carried else "s1-1")
    mine = live(id="s9.1", sql="DROP TABLE x", digest="x")
    (way.place / FOLDER / "s9-1.request").write_text(request_code(mine))
    if way.is_carried:
        box = mailbox_of(way.settings, {})
        box.store_answer(mine, box.answer_to(live(id="s1.1")))
        with pytest.raises(RefusedError, match="another request"):
            way.session().earlier(live(id="s10.1", sql="DROP TABLE x", digest="x"))
    else:
        with pytest.raises(RefusedError):
            way.session().earlier(live(id="s10.1", sql="DROP TABLE x", digest="x"))


def test_a_place_that_cannot_be_written_is_said(settings, tmp_path):  # noqa: F811
    (tmp_path / FOLDER).write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot be put into"):
        WaitingRequests(tmp_path, settings).put_down(live())
    gone = msgspec.structs.replace(settings, directory=str(tmp_path / "gone"))
    with pytest.raises(ConfigurationError, match="gone"):
        WaitingRequests(tmp_path / "here", gone).put_down(live())


def test_an_approval_whose_attempt_sent_nothing_can_be_used_again_once(way):
    first = live(id="s1.1")
    way.approve(way.put_down(first).code)
    found, approval = way.session().earlier(live(id="s2.1"))
    way.session().give_back(found, approval)
    assert way.session().earlier(live(id="s3.1")) == (found, approval)
    if way.is_carried:
        assert way.session().earlier(live(id="s4.1")) is None
    else:
        with pytest.raises(RefusedError, match="counts once"):
            way.session().earlier(live(id="s4.1"))


def test_an_approval_that_was_waited_for_and_not_used_waits_for_a_later_session_once(way):
    """It was shown and answered live, and nothing of it was stored here."""
    request = live(id="s1.1")
    answer = sign(request, way.settings, approver="bob")
    way.session().give_back(request, approval_from_code(answer))
    later = WaitingRequests(way.place, way.settings)
    assert later.earlier(live(id="s2.1", sql="DROP TABLE u", digest="e")) is None
    found, approval = later.earlier(live(id="s2.1"))
    assert (found, approval.approver) == (request, "bob")
    assert later.earlier(live(id="s3.1")) is None
    later.give_back(found, approval)
    assert later.earlier(live(id="s4.1")) == (found, approval)


def test_an_approval_that_was_given_back_is_over_with_its_time_and_then_goes(way):
    request = live(-1, id="s1.1")
    answered = approval_from_code(sign(live(5, id="s1.1"), way.settings, approver="bob"))
    way.session().give_back(request, answered)
    assert WaitingRequests(way.place, way.settings).earlier(live(id="s2.1")) is None
    way.put_down(live(id="s3.1", sql="DROP TABLE u", digest="e"))
    assert not [path.name for path in (way.place / FOLDER).iterdir() if path.name.startswith("s1-1")]
