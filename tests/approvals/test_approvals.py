"""Approvals between two people with keys of their own, by hand and through a directory."""

import threading
import time
from pathlib import Path

import keyring
import keyring.backends.fail
import msgspec
import pytest

from safeconsole.approvals.carrying import LocalApprovals, sign, waiting_requests
from safeconsole.audit.signing import new_key
from safeconsole.approvals.waiting import WaitingRequests
from safeconsole.approvals.requests import request_code, request_from_code
from safeconsole.errors import ConfigurationError, RefusedError
from safeconsole.config.settings import ApprovalSettings
from tests.approvals.test_approval import asked


@pytest.fixture
def keys(tmp_path):
    return {name: (str(tmp_path / name), new_key(str(tmp_path / name))) for name in ("ann", "bob")}


@pytest.fixture
def settings(keys):
    return ApprovalSettings(key=keys["bob"][0], approvers={name: public for name, (_, public) in keys.items()})


def live(**changes):
    return asked(expires_epoch=int(time.time()) + 60, **changes)


def through(settings, ask):
    waiting = WaitingRequests(Path("/nonexistent"), settings)
    return LocalApprovals(settings, ask=ask, show=lambda *_: None, waiting=waiting)


def by_hand(settings):
    """Approvals in which bob reads the code and sends his answer back."""
    return through(settings, lambda code, _: sign(request_from_code(code), settings, approver="bob"))


def test_somebody_else_approves_by_hand(settings):
    request = live()
    approval = by_hand(settings).approve(request)
    assert approval.approver == "bob"


def test_an_answer_cannot_be_used_for_another_statement(settings):
    first, second = live(), live(sql="DROP TABLE u", digest="e")
    given = sign(first, settings, approver="bob")
    with pytest.raises(RefusedError, match="another request"):
        through(settings, lambda *_: given).approve(second)


def test_signing_in_somebody_elses_name_does_not_hold(settings, keys):
    request = live(person="carl")
    forged = sign(request, msgspec.structs.replace(settings, key=keys["ann"][0]), approver="bob")
    with pytest.raises(RefusedError, match="signature is not bob's"):
        through(settings, lambda *_: forged).approve(request)


def test_nobody_signs_their_own(settings, keys):
    with pytest.raises(RefusedError, match="cannot approve"):
        sign(live(), settings, approver="ann")


def test_an_expired_request_is_not_signed(settings):
    with pytest.raises(RefusedError, match="expired"):
        sign(asked(expires_epoch=1), settings, approver="bob")


@pytest.mark.parametrize("pasted", ["", "  ", "sc-answer-", "nonsense"])
def test_what_is_no_answer_approves_nothing(settings, pasted):
    with pytest.raises(RefusedError):
        through(settings, lambda *_: pasted).approve(live())


def test_without_another_approver_nobody_is_asked(settings, keys):
    alone = msgspec.structs.replace(settings, approvers={"ann": keys["ann"][1]})
    with pytest.raises(ConfigurationError, match="no other approver"):
        through(alone, lambda *_: pytest.fail("asked")).approve(live())


def test_a_shared_directory_carries_request_and_answer(settings, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    settings = msgspec.structs.replace(settings, directory=str(shared))
    request = live(id="../../escape")

    def second_person():
        while not (found := list(shared.glob("*.request"))):
            time.sleep(0.01)
        sign(request_from_code(found[0].read_text()), settings, approver="bob")

    other = threading.Thread(target=second_person)
    other.start()
    approval = through(settings, lambda *_: pytest.fail("asked")).approve(request)
    other.join()
    assert approval.approver == "bob"
    assert {path.parent for path in tmp_path.rglob("*.answer")} == {shared}


def test_a_directory_in_which_nobody_answers_approves_nothing(settings, tmp_path):
    settings = msgspec.structs.replace(settings, directory=str(tmp_path))
    request = asked(expires_epoch=int(time.time()) + 1)
    with pytest.raises(RefusedError, match="no second person"):
        through(settings, lambda *_: "").approve(request)


def test_a_directory_that_is_not_there_is_said(settings, tmp_path):
    settings = msgspec.structs.replace(settings, directory=str(tmp_path / "nope"))
    with pytest.raises(ConfigurationError, match=r"approvals\.directory"):
        through(settings, lambda *_: "").approve(live())


def test_an_approver_without_a_key_is_told_how_to_make_one(settings, tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        sign(live(), msgspec.structs.replace(settings, key=str(tmp_path / "none")), approver="bob")
    assert "--new-key" in caught.value.instead


def test_a_key_for_a_computer_without_a_keyring_goes_to_a_file():
    before = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.fail.Keyring())
    try:
        with pytest.raises(ConfigurationError, match="no keyring backend") as caught:
            new_key("keyring")
    finally:
        keyring.set_keyring(before)
    assert caught.value.instead == "name a file that only you can read"


def test_what_lies_in_the_shared_directory_is_listed_whatever_else_does(settings, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    settings = msgspec.structs.replace(settings, directory=str(shared))
    later, sooner = live(id="s1.1", sql="later"), live(id="s2.1", sql="sooner")
    later = msgspec.structs.replace(later, expires_epoch=later.expires_epoch + 9)
    answered, over = live(id="s3.1"), asked(id="s4.1", expires_epoch=1)
    for request in (later, sooner, answered, over):
        (shared / f"{request.id.replace('.', '-')}.request").write_text(request_code(request))
    sign(answered, settings, approver="bob")
    (shared / "junk.request").write_text("junk")
    (shared / "other.request").write_text(request_code(live(id="s5.1")))
    (shared / "link.request").symlink_to("/etc/passwd")
    (shared / "folder.request").mkdir()
    assert waiting_requests(settings) == (("s2-1", sooner), ("s1-1", later))
    with pytest.raises(ConfigurationError, match="no such file"):
        waiting_requests(msgspec.structs.replace(settings, directory=str(tmp_path / "gone")))
