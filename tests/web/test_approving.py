"""A request that waits in a team's pages: what an approver sees, what their yes signs, and who may not give one."""

import json
import re
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import sqlalchemy

from safeconsole.approvals.carrying import LocalApprovals
from safeconsole.approvals.mailbox import name_of
from safeconsole.approvals.request_database import DatabaseMailbox
from safeconsole.approvals.requests import approval_from_code, objection_to, refusal_in, request_code
from safeconsole.approvals.telling import BODIES, Hook, Telling, told_lines
from safeconsole.approvals.waiting import WaitingRequests
from safeconsole.audit.signing import is_signed_by, new_key
from safeconsole.config.settings import ApprovalSettings
from safeconsole.demo.stage import staged
from safeconsole.errors import RefusedError
from tests.approvals.test_approval import asked
from tests.harness.team import archive_of, pages, provider

SQL = "UPDATE customers\nSET email = 'ada@example.com'\nWHERE id = 4711"


@pytest.fixture(scope="module")
def issuer():
    with provider() as made:
        yield made


@pytest.fixture
def key(tmp_path):
    return SimpleNamespace(path=str(tmp_path / "serve.pem"), public=new_key(str(tmp_path / "serve.pem")))


@pytest.fixture
def team(tmp_path, issuer, key):
    engine, _, archive = archive_of(f"sqlite:///{tmp_path}/central.db")
    mailbox = DatabaseMailbox(engine, "here")
    with pages(archive, issuer, mailbox=mailbox, key=key.path) as (browser, desk):
        yield SimpleNamespace(browser=browser, desk=desk, mailbox=mailbox, url=desk.settings.url)
    engine.dispose()


def live(**changes):
    fields = {
        "expires_epoch": int(time.time()) + 60,
        "sql": SQL,
        "person": "fay",
        "login": "fay",
        "evidence": ("node: primary, a primary", "estimate: 1 row"),
    }
    return asked(**{**fields, **changes})


def signed_in(team, sub):
    web = team.browser()
    web.sign_in(sub)
    return web


def answer(web, name, **form):
    seen = re.search(r'name="request" value="([^"]+)"', web.get(f"/requests/{name}").text)
    given = {"csrf": web.csrf("/approvals"), "reason": "looked at it", "cluster": "shop", **form}
    given.setdefault("request", seen.group(1) if seen else "")
    return web.post(f"/requests/{name}", given)


def console(team, key, request, *, servers=None, shown=None):
    """A console that waits for an answer; returns its thread and what it got."""
    settings = ApprovalSettings(servers={team.url: key.public} if servers is None else servers)
    waiting = WaitingRequests(Path("/nonexistent"), settings, mailbox=team.mailbox)
    told = shown if shown is not None else []
    approvals = LocalApprovals(
        settings, ask=lambda *_: "", show=lambda code, _: told.append(code), waiting=waiting, mailbox=team.mailbox
    )
    got = []

    def run():
        try:
            got.append(approvals.approve(request))
        except RefusedError as error:
            got.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 20
    while not team.mailbox.waiting() and thread.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return thread, got


def test_an_approver_sees_the_evidence_and_their_yes_reaches_the_console(team, key):
    request, shown = live(), []
    thread, got = console(team, key, request, shown=shown)
    ben = signed_in(team, "ben")
    assert "fay" in ben.get("/approvals").text
    assert shown == [f"abc-1  (or at {team.url}requests/abc-1)"]
    page = ben.get("/requests/abc-1").text
    for part in ("a primary", "1 row", "shop (production)", "why", "T-1", "SET email = &#x27;ada@example.com&#x27;"):
        assert part in page, part
    assert "Approved" in answer(ben, "abc-1", answer="yes").text
    thread.join(20)
    (approval,) = got
    assert (approval.approver, approval.through, approval.reason) == ("ben", team.url, "looked at it")
    assert "No request waits" in ben.get("/approvals").text
    assert "answered already" in answer(ben, "abc-1", answer="no").text


def test_a_no_and_its_reason_reach_the_console(team, key):
    thread, got = console(team, key, live())
    assert "Refused" in answer(signed_in(team, "ben"), "abc-1", answer="no", reason="not on a Friday").text
    thread.join(20)
    assert "ben refused it: not on a Friday" in str(got[0].message)


def test_a_console_takes_only_what_a_server_that_it_knows_signed(team, key, tmp_path):
    other = new_key(str(tmp_path / "other.pem"))
    for servers, said in (({team.url: other}, "the signature is not"), ({"https://x/": key.public}, "is not a server")):
        request = live(id=f"r{len(said)}.1")
        thread, got = console(team, key, request, servers=servers)
        answer(signed_in(team, "ben"), name_of(request.id), answer="yes")
        thread.join(20)
        assert said in got[0].message


def signed(team, request):
    return approval_from_code(team.mailbox.answer_to(request))


def test_what_was_signed_fits_nothing_else(team, key):
    request = live()
    team.mailbox.put(request)
    answer(signed_in(team, "ben"), "abc-1", answer="yes")
    approval = signed(team, request)
    check = partial(objection_to, approvers={"ben": key.public}, servers={team.url: key.public}, holds=is_signed_by)
    now = time.time()
    assert check(approval, request, now_epoch=now) == ""
    for changes in ({"approver": "cleo"}, {"reason": "other"}, {"through": ""}):
        assert "signature is not" in check(msgspec.structs.replace(approval, **changes), request, now_epoch=now)
    assert "another request" in check(approval, msgspec.structs.replace(request, sql="DROP TABLE t"), now_epoch=now)
    assert "has expired" in check(approval, request, now_epoch=now + 61)
    assert "cannot approve what" in check(msgspec.structs.replace(approval, approver="FAY"), request, now_epoch=now)
    # Consoles from before servers signed read a person's own approval as ever.
    assert "through" not in msgspec.json.encode(msgspec.structs.replace(approval, through="", reason="")).decode()


@pytest.mark.parametrize(
    ("sub", "asks", "said"),
    [
        ("ben", {"person": "ben"}, "ben cannot approve what ben asked for"),
        ("ben", {"person": "BEN"}, "cannot approve what"),
        ("ben", {"person": "ops", "login": "ben"}, "cannot approve what"),
        ("cleo", {}, "cleo is no approver here"),
        ("dan", {}, "dan is no approver here"),
        ("eve", {}, "is no approver here"),
    ],
)
def test_some_cannot_approve(team, sub, asks, said):
    request = live(**asks)
    team.mailbox.put(request)
    web = signed_in(team, sub)
    assert said in answer(web, "abc-1", answer="yes").text if sub != "eve" else True
    assert said in answer(web, "abc-1", answer="no").text if sub != "eve" else True
    assert 'value="yes"' not in web.get("/requests/abc-1").text
    assert team.mailbox.answer_to(request) == ""


def test_nobody_approves_their_own_under_another_login_name(tmp_path, issuer, key):
    engine, _, archive = archive_of(f"sqlite:///{tmp_path}/central.db")
    mailbox, people = DatabaseMailbox(engine, "here"), {"ben": ("ben", "ben-admin"), "ana": ("ana",)}
    with pages(archive, issuer, mailbox=mailbox, key=key.path, people=people) as (browser, desk):
        team = SimpleNamespace(browser=browser, desk=desk, mailbox=mailbox, url=desk.settings.url)
        requests = [live(id=f"{name}.1", person=name, login=name) for name in ("ben-admin", "deploy", "ana")]
        for request in requests:
            mailbox.put(request)
        ben = signed_in(team, "ben")
        assert "cannot approve what" in answer(ben, "ben-admin-1", answer="yes").text
        assert "is nobody in [serve.people]" in answer(ben, "deploy-1", answer="yes").text
        assert "Approved" in answer(ben, "ana-1", answer="yes").text
        # Whoever the table does not know reads, whatever their groups are.
        cleo = signed_in(team, "cleo")
        assert "cleo (reader)" in cleo.get("/").text
    engine.dispose()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"answer": "yes", "reason": " "}, "need a reason"),
        ({"answer": "no", "reason": ""}, "need a reason"),
        ({"answer": "yes", "cluster": "shop2"}, "the name typed is not shop"),
        ({"answer": "perhaps"}, "yes or no?"),
        ({"answer": "yes", "csrf": "x"}, "not from this page"),
    ],
)
def test_a_yes_is_given_as_in_a_terminal(team, form, said):
    request = live()
    team.mailbox.put(request)
    assert said in answer(signed_in(team, "ben"), "abc-1", **form).text
    assert team.mailbox.answer_to(request) == ""


def test_what_is_signed_is_what_was_shown(team):
    shown, other = live(), live(sql="DROP TABLE customers")
    team.mailbox.put(shown)
    ben = signed_in(team, "ben")
    seen = re.search(r'name="request" value="([^"]+)"', ben.get("/requests/abc-1").text).group(1)
    with team.mailbox._tables.engine.begin() as connection:
        put = sqlalchemy.text("UPDATE safeconsole_requests SET code = :code")
        connection.execute(put, {"code": request_code(other)})
    assert "not the request that you were shown" in answer(ben, "abc-1", answer="yes", request=seen).text
    assert team.mailbox.answer_to(other) == ""


def test_what_expired_or_was_withdrawn_is_answered_by_nobody(team):
    gone, old = live(id="gone.1"), live(id="old.1")
    team.mailbox.put(gone)
    team.mailbox.withdraw(gone)
    team.mailbox.put(msgspec.structs.replace(old, expires_epoch=int(time.time()) - 1))
    ben = signed_in(team, "ben")
    assert "No request waits" in ben.get("/approvals").text
    assert "answered already" in answer(ben, "gone-1", answer="yes").text
    assert "has expired" in answer(ben, "old-1", answer="yes").text
    assert refusal_in(team.mailbox.answer_to(gone)).reason == "it was withdrawn"
    assert ben.get("/requests/nothing").status == 404


def test_what_expired_long_ago_is_removed_and_nothing_else(team):
    old = live(id="old.1", expires_epoch=int(time.time()) - 91 * 86_400)
    for request in (old, live(id="expired.1", expires_epoch=int(time.time()) - 60), live(id="waits.1")):
        team.mailbox.put(request)
        team.mailbox.withdraw(request)
    team.mailbox.forget_old()
    assert team.mailbox.answer_to(old) == ""
    with team.mailbox._tables.engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT name FROM safeconsole_requests ORDER BY name").scalars().all()
    assert names == ["expired-1", "waits-1"]


def test_what_others_put_into_the_database_harms_nobody(team):
    assert team.mailbox.waiting() == ()
    rows = [("x", "garbage"), ("other-name", request_code(live())), ("y", "sc-request-AAAA")]
    with team.mailbox._tables.engine.begin() as connection:
        for name, code in rows:
            row = {"name": name, "until": int(time.time()) + 60, "code": code}
            connection.execute(sqlalchemy.text("INSERT INTO safeconsole_requests VALUES (:name, :until, :code)"), row)
    ben = signed_in(team, "ben")
    assert "No request waits" in ben.get("/approvals").text
    assert "is no request" in ben.get("/requests/x").text


@pytest.fixture(scope="module")
def embedded():
    with staged("embedded") as up:
        yield Path(up.config).read_text()


def test_a_programs_statement_runs_after_a_yes_on_the_page(team, key, embedded, tmp_path):
    config = tmp_path / "config.toml"
    text = re.sub(r'directory = ".*"', f'directory = "{tmp_path}/audit"', embedded)
    config.write_text(
        text.replace('environment = "demo"', 'environment = "production"')
        + f'\n[approvals]\ndatabase = "sqlite:///{tmp_path}/central.db"\n[approvals.servers]\n"{team.url}" = "{key.public}"\n'
    )
    sql = "UPDATE orders SET status = 'open' WHERE id = 2"
    command = [sys.executable, "-m", "safeconsole", "--config", str(config), "sql", "shop", "-e", sql]
    command += ["--reason", "stuck", "--ticket", "T-1", "--confirm", "shop"]

    def run():
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)

    first = run()
    assert first.returncode == 3, first.stderr
    name = re.search(rf"{re.escape(team.url)}requests/([\w-]+)", first.stderr).group(1)
    ben = signed_in(team, "ben")
    assert "UPDATE orders SET status = &#x27;open&#x27; WHERE id = 2" in ben.get(f"/requests/{name}").text
    assert run().returncode == 3
    assert "Approved" in answer(ben, name, answer="yes").text
    done = run()
    assert done.returncode == 0, done.stderr
    assert run().returncode == 3
    journal = "".join(path.read_text() for path in (tmp_path / "audit" / "sessions").iterdir())
    (approved,) = re.findall(r'"type":"approval"[^}]*|[^{]*"approver":"ben"[^}]*', journal)
    assert f"through {team.url}: looked at it" in approved


# What channels are told


class Receiver:
    """A webhook's receiver: keeps what it is sent, and answers as it is told."""

    def __init__(self):
        receiver = self
        self.got, self.status = [], 200

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                receiver.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize("kind", BODIES)
def test_a_channel_is_told_with_a_link_and_without_literals(team, receiver, kind):
    request = live(
        reason="<!channel> *bold* [x](https://evil.example)\x1b[31m", evidence=("rule: email 'ada@example.com'",)
    )
    team.mailbox.put(request)
    telling = Telling(team.mailbox, {"c": Hook(kind=kind, url=receiver.url)}, lambda name: f"{team.url}requests/{name}")
    assert (telling.step(), telling.step()) == (1, 0)
    (told,) = receiver.got
    text = json.dumps(told)
    assert f"{team.url}requests/abc-1" in text
    assert "ada@example.com" not in text
    assert "4711" not in text
    assert "UPDATE customers" in text
    assert "\\u001b" not in text
    if kind == "slack":
        assert "mrkdwn" not in text
        assert told["text"] == "An approval is asked for"
        assert all(block["text"]["type"] == "plain_text" for block in told["blocks"] if "text" in block)
        assert all(len(block["text"]["text"]) < 3_000 for block in told["blocks"] if "text" in block)
    if kind == "teams":
        body = told["attachments"][0]["content"]["body"]
        assert {block["type"] for block in body} == {"RichTextBlock"}


def test_what_servers_read_differently_is_not_told(team):
    request = live(sql=r"UPDATE t SET a = 'x\' , b = 'secret-value' WHERE c = ' -- '")
    assert "secret-value" not in json.dumps(told_lines(request))


def test_a_channel_that_is_away_is_told_later_and_keeps_no_other_waiting(team, receiver):
    now = [1000.0 + time.time()]
    away = Receiver()
    away.status = 500
    hooks = {"away": Hook(kind="json", url=away.url), "here": Hook(kind="json", url=receiver.url)}
    telling = Telling(team.mailbox, hooks, str, now=lambda: now[0])
    team.mailbox.put(live(id="one.1", expires_epoch=int(time.time()) + 7200))
    team.mailbox.put(live(id="two.1", expires_epoch=int(time.time()) + 7200))
    assert telling.step() == 2
    assert (len(away.got), len(receiver.got)) == (1, 2)
    assert telling.troubles == {"away": "away 127.0.0.1: it answered 500"}
    assert telling.step() == 0
    assert len(away.got) == 1
    away.status = 200
    now[0] += 16
    assert telling.step() == 2
    assert telling.troubles == {}
    away.server.shutdown()
    away.server.server_close()
