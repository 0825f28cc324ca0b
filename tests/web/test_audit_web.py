"""The review page: what it shows, whom it lets in, and that hostile text stays text."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import pytest

from safeconsole.audit.archive import open_archive
from safeconsole.clock import SystemClock
from safeconsole.audit.journal import open_journal
from safeconsole.audit.recording import open_recording, read_recording
from safeconsole.audit.review import open_reviews
from safeconsole.config.settings import RecordingSettings
from safeconsole.audit.record import (
    Asked,
    Decided,
    ElevationChanged,
    Ended,
    Intent,
    Noticed,
    Sampled,
    SessionClosed,
    SessionOpened,
)
from safeconsole.audit.record import TERMINAL_RECORDED
from safeconsole.web import pages
from safeconsole.web.pages import tag, together
from safeconsole.web.pages import memory_plots
from safeconsole.web.local import Desk, respond
from safeconsole.web.server import HttpRequest
from safeconsole.web.local import new_keys
from safeconsole.web.server import PageServer

HOSTILE = "<script>alert(1)</script>'\"><img src=x onerror=alert(1)>\x1b[31m\u202e&amp;"


def write(directory, session, *, person="ana", sql="SELECT 1", verdict="deny", break_glass=False):
    journal = open_journal(directory, clock=SystemClock(), session=session)
    journal.append(SessionOpened(person=person, login="ops", groups=(), host="h", origin=HOSTILE, agent="", face="sql", cluster="shop",
                                 environment="production", policy="p", policy_hash="h", program="x"))  # fmt: skip
    journal.append(
        Asked(statement=1, sql=sql, digest="d", kind="select", effects=("read",), tables=("shop.orders",), hazards=())
    )
    journal.append(Decided(statement=1, verdict=verdict, rules=("r",), policy="p", route="replica", node="n", server="s", facts={},
                           limits={}, message=HOSTILE))  # fmt: skip
    if break_glass:
        journal.append(ElevationChanged(id="e", state="granted", event="x", scope="break-glass", cluster="shop", reason=HOSTILE,
                                        ticket="INC-7", digest="", server="", window_seconds=1.0))  # fmt: skip
    if verdict == "deny":
        journal.append(Ended(statement=1, outcome="refused", message="no"))
    else:
        journal.append(Intent(statement=1, sql=sql, digest="d", node="n", server="s", role="replica", account="read", read_only=True,
                              guards={}, limits={"session_memory_bytes": 8 << 20}), durable=True)  # fmt: skip
        for second in range(1, 6):
            journal.append(
                Sampled(statement=1, elapsed_seconds=second / 2, session_memory_bytes=second << 20, rows=second)
            )
        journal.append(Ended(statement=1, outcome="done", rows=5, elapsed_seconds=2.6))
    journal.append(SessionClosed(statements=1))
    journal.close()


@pytest.fixture
def directory(tmp_path):
    place = tmp_path / "audit"
    write(place, "denied", sql=f"SELECT '{HOSTILE}'")
    write(place, "glass", person="ben", verdict="allow", break_glass=True)
    write(place, "quiet", verdict="allow")
    return place


@pytest.fixture
def desk(directory):
    return Desk(
        archive=lambda: open_archive(directory),
        reviews=lambda: open_reviews(directory, by="cleo", clock=SystemClock()),
        recording=lambda session: read_recording(directory, session),
        keys=new_keys(8000),
    )


@pytest.fixture
def ask(desk):
    def ask(target, *, form=None, **headers):
        told = {"host": "127.0.0.1:8000", "cookie": f"safeconsole_audit={desk.keys.cookie}"} | headers
        body = urlencode(form).encode() if form is not None else b""
        method, below = "GET" if form is None else "POST", desk.keys.base + target.removeprefix("/")
        return respond(HttpRequest(method=method, target=below, headers=told, body=body), desk)

    return ask


class Page(HTMLParser):
    """The elements and attributes of a page, as a browser would see them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.handlers, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.handlers += [
            name for name, value in attrs if name.startswith("on") or (value or "").startswith("javascript:")
        ]

    def handle_data(self, data):
        self.text += data


def test_the_queue_shows_what_waits_and_why(ask):
    text = Page(ask("/").body).text
    assert "denied" in text
    assert "refused by a deny rule" in text
    assert "ben's closing note" in text
    assert "quiet" not in text
    assert "quiet" in Page(ask("/?state=all").body).text


def test_a_queue_of_very_many_shows_the_newest(ask, monkeypatch):
    monkeypatch.setattr(pages, "SESSIONS_SHOWN", 2)
    text = Page(ask("/?state=all").body).text
    assert "Only the newest 2 of 3 are shown: filter by person or cluster." in text
    assert "quiet" in text and "denied" not in text
    assert "Only the newest" not in Page(ask("/").body).text


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", {"denied", "glass"}),
        ("?state=+", {"denied", "glass"}),
        ("?state=all", {"denied", "glass", "quiet"}),
        ("?state=none", {"quiet"}),
        ("?state=approved", set()),
        ("?state=nonsense", set()),
        ("?person=BEN", {"glass"}),
        ("?state=all&person=ana", {"denied", "quiet"}),
        ("?cluster=till", set()),
    ],
)
def test_the_queue_is_filtered(ask, query, shown):
    body = ask(f"/{query}").body
    assert set(re.findall(r'href="sessions/([^"]+)"', body)) == shown
    assert ("No session is like that" in body) == (not shown)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("since=1d", 2),
        ("since=2030-01-01", 0),
        ("until=2030-01-01", 2),
        ("verdict=allow", 2),
        ("verdict=+&outcome=done", 2),
    ],
)
def test_a_search_takes_times_as_the_command_does(ask, query, found):
    text = Page(ask(f"/search?cluster=shop&text=SELECT+1&{query}").body).text
    assert (f"{found} found." if found else "No statement is like that") in text


@pytest.mark.parametrize("name", [b"\xff\xfe", b'\x1b[31m"><img src=x>', b"..%2f..%2fetc", "\u202eabc".encode()])
def test_a_planted_files_name_breaks_no_page(ask, directory, name):
    path = next((directory / "sessions").glob("*denied*"))
    with open(os.fsencode(path.parent) + b"/2026-11-23-" + name + b".jsonl", "wb") as file:
        file.write(path.read_bytes())
    body = ask("/?state=all").body
    links = re.findall(r'href="(sessions/[^"]+)"', body)
    assert len(links) == 4
    for page in (body, *(ask(link).body for link in links)):
        assert "img" not in Page(page).elements
        assert not set("\x1b\u202e") & set(page)
    told = [ask(link) for link in links]
    assert [answer.status for answer in told] == [200] * 4
    assert sum("The journal is invalid" in answer.body for answer in told) == 1


def test_a_search_says_what_could_not_be_read(ask, directory):
    path = next((directory / "sessions").glob("*glass*"))
    path.unlink()
    path.symlink_to("/dev/zero")
    text = Page(ask("/search?cluster=shop").body).text
    assert "session glass cannot be read completely" in text
    assert "2 found." in text


def test_a_time_that_is_none_is_said_and_the_form_kept(ask):
    body = ask("/search?since=nonsense&person=ana").body
    assert "is not a time" in Page(body).text
    assert 'name="person" value="ana"' in body


def test_what_one_may_not_do_is_no_button(ask, desk):
    def possible(session):
        buttons = re.findall(r'<button name="act" value="(\w+)"( disabled)?>', ask(f"/sessions/{session}").body)
        return {act for act, disabled in buttons if not disabled}

    assert possible("denied") == {"approve", "flag", "note"}
    assert possible("glass") == {"flag", "note"}
    assert "has not written its closing note yet" in ask("/sessions/glass").body
    assert possible("quiet") == {"note"}


def test_what_did_not_work_leads_back(ask, desk):
    body = ask("/sessions/glass/review", form={"act": "approve", "csrf": desk.keys.csrf}).body
    assert 'href="sessions/glass">Back to its story' in body
    assert "To the queue" in ask("/sessions/none").body


def test_the_head_of_a_session_has_the_reason_and_the_ticket_of_its_elevations(ask):
    assert ", ticket INC-7" in Page(ask("/sessions/glass").body).text.split("statements", 1)[1].split("waits for", 1)[0]
    assert "ticket" not in ask("/sessions/denied").body


def test_a_session_is_told_with_its_plot(ask):
    answer = ask("/sessions/glass")
    assert answer.status == 200
    assert "#1: memory of the session, peak 5.0 MiB" in answer.body
    assert "limit 8.0 MiB" in answer.body
    assert "after 0.5 s" not in answer.body
    assert answer.body.count("<svg") == 1
    assert "Replay" not in answer.body


@pytest.mark.parametrize("target", ["/", "/?state=all", "/sessions/denied", "/sessions/glass", "/search?text=script", f"/search?text={quote(HOSTILE)}",
                                    f"/sessions/{quote(HOSTILE, safe='')}", f"/search?since={quote(HOSTILE)}"])  # fmt: skip
def test_hostile_text_stays_text(ask, target):
    page = Page(ask(target).body)
    assert "img" not in page.elements
    assert "script" not in page.elements
    assert page.handlers == []
    assert not set("\x1b\u202e") & set(ask(target).body)


def test_the_shown_statement_is_the_one_that_was_asked(ask):
    assert (
        "<script>alert(1)</script>'\"><img src=x onerror=alert(1)>\\x1b[31m\\u202e&amp;"
        in Page(ask("/sessions/denied").body).text
    )


def test_a_review_needs_the_pages_own_form(ask, desk, directory):
    form = {"act": "approve", "note": "harmless", "csrf": desk.keys.csrf}
    assert ask("/sessions/denied/review", form={**form, "csrf": "guess"}).status == 403
    assert ask("/sessions/denied/review", form={"act": "approve"}).status == 403
    assert ask("/sessions/denied/review", form=form, origin="http://evil.example").status == 403
    assert ask("/sessions/denied/review", form=form, origin="null").status == 403
    assert ask("/sessions/denied/review", form=form, cookie="").status == 403
    assert open_reviews(directory, by="x", clock=SystemClock()).reviews() == ()
    done = ask("/sessions/denied/review", form=form, origin="http://127.0.0.1:8000")
    assert (done.status, dict(done.headers)["Location"]) == (303, f"{desk.keys.base}sessions/denied")
    assert "cleo approve: harmless" in Page(ask("/sessions/denied").body).text
    assert "denied" not in Page(ask("/").body).text
    assert open_archive(directory).verify() == ()


def test_what_is_not_possible_is_said_on_the_page(ask, desk):
    for form, why in [
        ({"act": "approve"}, "has not written its closing note"),
        ({"act": "flag"}, "a note is required"),
        ({"act": "burn"}, "approve, flag or note"),
    ]:
        answer = ask("/sessions/glass/review", form={**form, "csrf": desk.keys.csrf})
        assert answer.status == 404
        assert why in answer.body


def test_a_get_changes_nothing(ask, directory):
    assert ask("/sessions/denied/review?act=approve").status == 404
    assert not (directory / "reviews.jsonl").exists()


def test_the_printed_address_works_once(desk):
    def visit(token):
        return respond(
            HttpRequest(method="GET", target=f"/open?token={token}", headers={"host": "localhost:8000"}), desk
        )

    token = desk.keys.token
    assert visit("guess").status == 403
    first = visit(token)
    cookie = dict(first.headers)["Set-Cookie"]
    assert first.status == 303
    assert {"HttpOnly", "SameSite=Strict", f"Path={desk.keys.base}"} <= set(cookie.split("; "))
    assert dict(first.headers)["Location"] == desk.keys.base
    assert visit(token).status == 403
    assert visit("").status == 403


@pytest.mark.parametrize(
    "cookie", ["", "safeconsole_audit=", "safeconsole_audit=guess", "other=1", "safeconsole_audit=\u00fc"]
)
def test_nobody_gets_in_without_the_cookie(ask, cookie):
    for target in ("/", "/sessions/denied", "/static/style.css", "/sessions/denied/recording.json", "/nothing"):
        assert ask(target, cookie=cookie).status == 403


def test_the_cookie_is_shown_to_no_other_port_and_is_not_enough_without_the_page(desk):
    """A browser shows a cookie to every port of a computer, for the paths that it was set for."""
    told = {"host": "127.0.0.1:8000", "cookie": f"safeconsole_audit={desk.keys.cookie}"}
    for target in ("/", "/sessions/denied", new_keys(8000).base, f"{desk.keys.base[:-2]}/"):
        assert respond(HttpRequest(method="GET", target=target, headers=told), desk).status == 403
    assert new_keys(8000).base != desk.keys.base


@pytest.mark.parametrize(
    ("site", "status"), [("none", 200), ("same-origin", 200), ("same-site", 403), ("cross-site", 403)]
)
def test_a_page_on_another_port_cannot_have_the_browser_ask(ask, site, status):
    assert ask("/", **{"sec-fetch-site": site}).status == status


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1", "", "127.0.0.1:8001"])
def test_no_other_name_leads_to_the_page(ask, host):
    assert ask("/", host=host).status == 421


@pytest.mark.parametrize(
    "target",
    [
        "/nothing",
        "/static/",
        "/static/../routes.py",
        "/static/routes.py",
        "/sessions/",
        "/sessions/none",
        "/sessions/a/b",
        "//",
    ],
)
def test_what_is_not_there_is_not_found(ask, target):
    assert ask(target).status == 404


def test_a_journal_that_does_not_hold_says_so_on_the_page(ask, directory):
    path = next((directory / "sessions").glob("*quiet*"))
    path.write_bytes(path.read_bytes().replace(b"SELECT 1", b"SELECT 2"))
    assert "The journal is invalid: record 1" in Page(ask("/sessions/quiet").body).text


def test_a_recording_is_played_tamed(ask, directory):
    assert ask("/sessions/denied/recording.json").status == 404
    recording = open_recording(
        directory,
        "denied",
        clock=SystemClock(),
        size=os.terminal_size((80, 24)),
        settings=RecordingSettings(keep="rows"),
    )
    recording.output("\x1b[31mred\x1b[0m\x1b]0;owned\x07")
    told = json.loads(ask("/sessions/denied/recording.json").body)
    assert [text for _, text in told["outputs"]] == ["\x1b[31mred\x1b[0m"]
    assert (told["columns"], told["lines"]) == (80, 24)
    page = ask("/sessions/denied/replay").body
    assert re.findall(r"<script[^>]*>", page) == ['<script src="static/replay.js">']
    assert "Replay the terminal" in ask("/sessions/denied").body


def test_a_recording_that_nothing_vouches_for_is_shown_with_a_warning(ask, directory):
    def told():
        shown = re.search(r'<p class="alarm" id="doubt"( hidden)?>(.*?)</p>', ask("/sessions/taped/replay").body)
        assert bool(shown.group(1)) == (shown.group(2) == "")
        assert json.loads(ask("/sessions/taped/recording.json").body)["doubt"] == shown.group(2)
        return shown.group(2)

    journal = open_journal(directory, clock=SystemClock(), session="taped")
    recording = open_recording(
        directory, "taped", clock=SystemClock(), size=os.terminal_size((80, 24)), settings=RecordingSettings(keep="rows")
    )  # fmt: skip
    recording.output("shown")
    assert "has not closed with the digest" in told()
    journal.append(Noticed(what=TERMINAL_RECORDED, detail=recording.close()))
    journal.close()
    assert told() == ""
    path = directory / "recordings" / "taped.cast"
    path.write_text(path.read_text().replace("shown", "forged"))
    assert "somebody changed it" in told()
    assert "somebody removed it" not in ask("/sessions/taped").body
    path.unlink()
    assert "somebody removed it" in ask("/sessions/taped").body


def test_a_search_finds_and_says_when_it_shows_not_all(ask, monkeypatch):
    assert "SELECT 1" not in Page(ask("/search").body).text
    assert Page(ask("/search?person=ben").body).text.count("SELECT 1") == 1
    monkeypatch.setattr("safeconsole.web.pages.SEARCH_SHOWN", 1)
    assert "Only the first" in ask("/search?cluster=shop").body


def test_elements_escape_what_they_are_given():
    assert tag("p", "<b>", ["&", tag("b", "x")], title='"<') == '<p title="&quot;&lt;">&lt;b&gt;&amp;<b>x</b></p>'
    assert tag("input", disabled=True, value="", hidden=False) == "<input disabled>"
    assert together("a\n\x00", tag("br")) == "a\n\\0<br>"


def test_a_persons_own_page_asks_for_the_closing_note(directory, desk):
    own = msgspec.structs.replace(desk, reviews=lambda: open_reviews(directory, by="ben", clock=SystemClock()))
    told = {"host": "127.0.0.1:8000", "cookie": f"safeconsole_audit={desk.keys.cookie}"}
    body = respond(HttpRequest(method="GET", target=f"{desk.keys.base}sessions/glass", headers=told), own).body
    assert 'value="note">Closing note' in body
    assert "what came of it" in body
    assert "ben is its person" in body


def test_a_plot_of_one_sample_and_without_a_limit_is_drawn():
    sample = Sampled(statement=1, elapsed_seconds=0.0, instance_memory_bytes=1 << 30)
    ((title, drawn),) = memory_plots([sample], {})
    assert title == "growth of the instance, peak 0.0 MiB over 1024.0 MiB"
    assert "nan" not in drawn
    assert drawn.count("<circle") == 1
    assert "limit" not in drawn


# Over a real socket


@pytest.fixture
def served(desk):
    server = PageServer()
    keys = new_keys(server.server_port)
    desk = Desk(archive=desk.archive, reviews=desk.reviews, recording=desk.recording, keys=keys)
    server.answer = partial(respond, desk=desk)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(server, method, target, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return answer, answer.read().decode()
    finally:
        connection.close()


def test_a_page_that_fails_says_so(served):
    broken = msgspec.structs.replace(served.answer.keywords["desk"], archive=lambda: None)
    served.answer = partial(respond, desk=broken)
    answer, text = fetch(served, "GET", broken.keys.base, Cookie=f"safeconsole_audit={broken.keys.cookie}")
    assert (answer.status, "This page failed" in text) == (500, True)


def test_a_browsers_way_through_the_page(served):
    assert served.server_address[0] == "127.0.0.1"
    opened, _ = fetch(served, "GET", "/open?token=" + served.answer.keywords["desk"].keys.token)
    cookie = opened.headers["Set-Cookie"].split(";")[0]
    base = opened.headers["Location"]
    answer, text = fetch(served, "GET", f"{base}sessions/denied", Cookie=cookie)
    assert answer.status == 200
    (csrf,) = set(re.findall(r'name="csrf" value="([^"]+)"', text))
    form = urlencode({"csrf": csrf, "act": "flag", "note": "why?"})
    done, _ = fetch(
        served,
        "POST",
        f"{base}sessions/denied/review",
        form,
        Cookie=cookie,
        **{"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert done.status == 303
    assert "flagged" in fetch(served, "GET", base, Cookie=cookie)[1]


def test_every_answer_keeps_everything_else_out(served):
    for target in ("/", "/open?token=x", "/static/replay.js"):
        answer, _ = fetch(served, "GET", target)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (answer.headers["X-Frame-Options"], answer.headers["Cache-Control"]) == ("DENY", "no-store")
        assert "Python" not in answer.headers["Server"]


@pytest.mark.parametrize("length", ["99999999", "-1", "x", ""])
def test_a_form_of_megabytes_is_not_read(served, length):
    answer, _ = fetch(served, "POST", "/sessions/denied/review", None, **{"Content-Length": length})
    assert answer.status == 413


def test_the_pages_name_nothing_elsewhere(ask):
    for target in ("/", "/sessions/denied", "/search", "/static/style.css", "/static/replay.js"):
        assert not re.search(r"(?:src|href|url\()[=\"'( ]*(?:https?:)?//", ask(target).body)


def test_no_other_command_pays_for_the_web_server():
    code = "import sys, safeconsole.cli.audit; print('http.server' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )


def test_the_command_prints_its_address_serves_and_ends_with_an_interrupt(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(f'[audit]\ndirectory = "{tmp_path}/audit"\n')
    command = [sys.executable, "-m", "safeconsole", "--config", str(config), "audit", "serve"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Whoever runs the tests in the background of a script hands on that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            url = urlsplit(process.stdout.readline().strip())
            assert url.hostname == "127.0.0.1"
            connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
            connection.request("GET", f"{url.path}?{url.query}")
            assert connection.getresponse().status == 303
            connection.close()
        finally:
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert "Traceback" not in said
    assert process.returncode == 0
