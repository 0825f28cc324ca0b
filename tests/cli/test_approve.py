"""What a second person is shown is the request, whatever whoever asks wrote into it."""

import msgspec
import pytest
from click.testing import CliRunner

from safeconsole.approvals.requests import ApprovalRequest, approval_from_code, objection_to, request_code
from safeconsole.audit.signing import is_signed_by, new_key
from safeconsole.cli.approve import approve
from safeconsole.config.identity import Person
from safeconsole.config.settings import ApprovalSettings, Settings

HOSTILE = "\x1b[8A\x1b[0J"
REQUEST = ApprovalRequest(
    id="s1.1",
    cluster="shop",
    environment="production",
    server="u-0",
    node="primary",
    person="ada",
    host="laptop",
    agent="robot",
    reason="incident 7",
    ticket="OPS-7",
    scope="statement",
    sql="DELETE FROM orders",
    digest="d",
    exact="e",
    schema="till",
    evidence=("node: primary, proven",),
    window_seconds=900.0,
    expires_epoch=2_000_000_000,
)


class Desk:
    """The program as far as an approver needs it: a code is its own text."""

    environ: dict = {}

    person = Person(name="ben", login="ben", groups=(), host="desk")

    def __init__(self, directory):
        self.directory = directory
        self.key = directory / "approval.key"
        self.public = new_key(str(self.key), account="approval-signing-key")

    def settings(self):
        return Settings(approvals=ApprovalSettings(key=str(self.key), directory=""))


@pytest.fixture
def approved(tmp_path):
    desk = Desk(tmp_path)

    def run(request, *arguments):
        told = CliRunner().invoke(
            approve, [request_code(request), *arguments], obj=desk, help_option_names=["-h", "--help"]
        )
        return told, told.stdout

    run.public = desk.public
    return run

    return run


@pytest.mark.parametrize(
    "field",
    ["cluster", "environment", "node", "person", "host", "agent", "reason", "ticket", "sql", "evidence", "label"],
)
def test_nothing_in_a_request_drives_the_terminal_of_who_looks_at_it(approved, field):
    """It could take away what was really asked, and write something else in its place."""
    if field in {"evidence", "label"}:
        line = f"{HOSTILE}: what: SELECT 1" if field == "label" else f"node: {HOSTILE}"
        request = msgspec.structs.replace(REQUEST, evidence=(line,))
    else:
        request = msgspec.structs.replace(REQUEST, **{field: f"{getattr(REQUEST, field)}{HOSTILE}"})
    told, answer = approved(request)
    assert "\x1b" not in told.output
    assert "\\x1b[8A\\x1b[0J" in told.output
    assert "DELETE FROM orders" in told.output
    assert answer == ""


def test_the_name_of_the_cluster_approves_exactly_what_was_shown(approved):
    _, answer = approved(REQUEST, "--confirm", "shop")
    approval = approval_from_code(answer.strip())
    wrong = objection_to(approval, REQUEST, approvers={"ben": approved.public}, now_epoch=0, holds=is_signed_by)
    assert (approval.approver, wrong) == ("ben", "")
    other = msgspec.structs.replace(REQUEST, sql="DROP TABLE orders")
    assert objection_to(approval, other, approvers={"ben": approved.public}, now_epoch=0, holds=is_signed_by)


def test_what_would_run_stands_last_however_much_stands_before_it(approved):
    """Evidence is whatever the console that asks sent: pages of it, ending in another request, must not hide this one."""
    flood = (*["node: quiet"] * 500, "approval asked", "what: SELECT 1")
    told, _ = approved(msgspec.structs.replace(REQUEST, evidence=flood, reason="why " * 2000))
    lines = told.output.splitlines()
    shown = max(at for at, line in enumerate(lines) if line.strip() == "what: DELETE FROM orders")
    assert shown > max(at for at, line in enumerate(lines) if "SELECT 1" in line)
    assert shown > max(at for at, line in enumerate(lines) if "why why" in line)
    assert not any(line.strip() for line in lines[shown + 1 :])
