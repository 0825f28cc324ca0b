"""A request travels as text, and an answer fits one request only."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.approvals.requests import (
    Approval,
    ApprovalRequest,
    answer_code,
    approval_from_code,
    asks_the_same,
    is_portable,
    objection_to,
    request_code,
    request_from_code,
    request_hash,
)


def asked(**changes):
    given = {
        "id": "abc.1", "cluster": "shop", "environment": "production", "server": "uuid", "node": "primary",
        "person": "ann", "host": "h", "agent": "", "reason": "why", "ticket": "T-1", "scope": "statement",
        "sql": "DROP TABLE t", "digest": "d", "exact": "e", "schema": "s", "evidence": ("node: primary",), "window_seconds": 900.0,
        "expires_epoch": 1000,
    }  # fmt: skip
    return ApprovalRequest(**{**given, **changes})


@pytest.mark.parametrize("field", ApprovalRequest.__struct_fields__)
def test_what_was_asked_before_is_the_same_but_for_when_it_was_asked(field):
    values = {"window_seconds": 901.0, "expires_epoch": 1001, "evidence": ("other",)}
    other = asked(**{field: values.get(field, "other")})
    assert asks_the_same(asked(), other) == (field in {"id", "evidence", "expires_epoch"})


def answer(request, **changes):
    given = {"request": request_hash(request), "approver": "bob", "key": "k", "signature": "s"}
    return Approval(**{**given, **changes})


def objection(request, approval, *, now=10, approvers=None, holds=lambda *_: True):
    return objection_to(
        approval, request, approvers={"bob": "pub", "ann": "pub"} if approvers is None else approvers,
        now_epoch=now, holds=holds,
    )  # fmt: skip


def test_an_answer_to_this_request_counts():
    assert objection(asked(), answer(asked())) == ""


@pytest.mark.parametrize("field", [name for name in ApprovalRequest.__struct_fields__])
def test_an_answer_to_anything_else_does_not(field):
    values = {"window_seconds": 901.0, "expires_epoch": 1001, "evidence": ("other",)}
    other = asked(**{field: values.get(field, "other")})
    assert "another request" in objection(other, answer(asked()))


@pytest.mark.parametrize("now", [1000, 1001, float("nan")])
def test_it_counts_until_the_request_expires(now):
    assert "expired" in objection(asked(), answer(asked()), now=now)


def test_nobody_approves_their_own():
    assert "cannot approve" in objection(asked(), answer(asked(), approver="ann"))


def test_a_stranger_is_no_approver():
    assert "not an approver" in objection(asked(), answer(asked()), approvers={})


def test_a_signature_that_does_not_hold_does_not_count():
    assert "signature" in objection(asked(), answer(asked()), holds=lambda *_: False)


def test_what_is_signed_names_the_request_and_the_approver():
    seen = []
    objection(asked(), answer(asked()), holds=lambda *given: bool(seen.append(given)))
    ((public, key, message, signature),) = seen
    assert (public, key, signature) == ("pub", "k", "s")
    assert request_hash(asked()).encode() in message
    assert message.endswith(b"bob")


def test_requests_and_answers_survive_the_way_as_text():
    request = asked(sql="UPDATE t SET a='é\n'")
    assert request_from_code(request_code(request)) == request
    assert approval_from_code(answer_code(answer(request))) == answer(request)


def test_a_terminal_may_break_the_lines_of_a_code():
    code = request_code(asked())
    assert request_from_code("\n ".join(code[at : at + 40] for at in range(0, len(code), 40))) == asked()


@given(st.text() | st.text().map(lambda text: f"sc-request-{text}"))
def test_no_text_does_more_than_fail(text):
    with pytest.raises(ValueError):
        request_from_code(text)


def test_a_code_that_unpacks_to_too_much_is_refused():
    with pytest.raises(ValueError):
        request_from_code(request_code(asked(sql="x" * 200_000)))


def test_half_a_code_is_refused():
    code = request_code(asked())
    with pytest.raises(ValueError):
        request_from_code(code[: len(code) // 2])


@pytest.mark.parametrize("alphabet", ["x", "\x01", "ж", "abcdefghijklmnopqrstuvwxyz0123456789_'(),= "])
def test_what_is_portable_arrives_and_what_is_not_does_not(alphabet):
    chance, sizes = Random(7), (10, 1_000, 8_000, 10_000, 30_000, 50_000, 64_000, 65_536, 70_000)
    found = set()
    for size in sizes:
        request = asked(sql="".join(chance.choices(alphabet, k=size)))
        found.add(is_portable(request))
        if is_portable(request):
            assert request_from_code(request_code(request)) == request
        else:
            with pytest.raises(ValueError, match="it is incomplete|it does not begin|truncated"):
                request_from_code(request_code(request))
    assert found == {True, False}
