"""Notices reach a real receiver on loopback: one that answers, fails, hangs, and comes back."""

import http.server
import json
import threading
import time

import pytest

from safeconsole.approvals.notices import SPOOL, open_notices
from safeconsole.errors import ConfigurationError
from safeconsole.approvals.requests import Notice, notice_line
from safeconsole.config.settings import MailSettings, NoticeSettings


class Receiver:
    """An HTTP server that answers as it is told, and keeps what it was sent."""

    def __init__(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.hang.wait()
                if receiver.status == 200:
                    receiver.got.append(json.loads(body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.got, self.status, self.hang = [], 200, threading.Event()
        self.hang.set()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count, seconds=30):
        until = time.monotonic() + seconds
        while len(self.got) < count and time.monotonic() < until:
            time.sleep(0.01)
        return [each["safeconsole"]["what"] for each in self.got]


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.hang.set()
    made.server.shutdown()
    made.server.server_close()


def notice(what="granted", **changes):
    given = {
        "what": what, "elevation": "s.1", "time": "2026-01-01T00:00:00.000000Z", "person": "ann", "host": "h",
        "agent": "", "cluster": "shop", "environment": "production", "scope": "statement", "reason": "why", "ticket": "T-1",
    }  # fmt: skip
    return Notice(**{**given, **changes})


@pytest.fixture
def patient(monkeypatch):
    """Leaving waits for whatever is on its way, on a busy machine too."""
    monkeypatch.setattr("safeconsole.approvals.notices.LEAVE_SECONDS", 30.0)


def opened(tmp_path, receiver, **environ):
    return open_notices(tmp_path, NoticeSettings(webhook=receiver.url), environ)


def test_a_webhook_gets_text_and_fields(tmp_path, receiver, patient):
    notices = opened(tmp_path, receiver)
    notices.notify(notice())
    assert receiver.wait(1) == ["granted"]
    assert receiver.got[0]["text"] == notice_line(notice())
    assert notices.settle() == ()
    assert not list((tmp_path / SPOOL).iterdir())


def test_a_receiver_that_fails_gets_it_when_it_is_back(tmp_path, receiver, patient):
    receiver.status = 500
    notices = opened(tmp_path, receiver)
    notices.notify(notice())
    time.sleep(0.3)
    assert receiver.got == []
    receiver.status = 200
    assert receiver.wait(1) == ["granted"]
    assert notices.settle() == ()


def test_a_receiver_that_hangs_does_not_hold_the_console(tmp_path, receiver):
    receiver.hang.clear()
    notices = opened(tmp_path, receiver)
    began = time.monotonic()
    notices.notify(notice())
    assert time.monotonic() - began < 4
    assert notices.settle()
    assert len(list((tmp_path / SPOOL).iterdir())) == 1


def test_what_one_console_left_the_next_delivers(tmp_path, receiver, patient):
    receiver.status = 503
    first = opened(tmp_path, receiver)
    first.notify(notice("asked"))
    assert "webhook" in first.settle()[0]
    receiver.status = 200
    second = opened(tmp_path, receiver)
    second.notify(notice("granted", time="2026-01-01T00:00:01.000000Z"))
    assert receiver.wait(2) == ["asked", "granted"]
    assert second.settle() == ()


def test_what_is_put_down_while_others_are_delivered_is_delivered_before_leaving(tmp_path, receiver, patient):
    receiver.hang.clear()
    notices = opened(tmp_path, receiver)
    notices.notify(notice("first"))
    time.sleep(0.3)
    for number in range(5):
        notices.notify(notice(f"later {number}", time=f"2026-01-01T00:00:0{number + 1}.000000Z"))
    threading.Timer(0.3, receiver.hang.set).start()
    assert notices.settle() == ()
    assert receiver.wait(6) == ["first", *(f"later {number}" for number in range(5))]
    assert not list((tmp_path / SPOOL).iterdir())


def test_a_notice_that_must_arrive_says_why_it_did_not(tmp_path, receiver):
    notices = opened(tmp_path, receiver)
    assert notices.deliver(notice()) == ""
    receiver.status = 500
    assert "webhook" in notices.deliver(notice())


def test_a_spool_that_cannot_be_written_is_told(tmp_path, receiver):
    (tmp_path / SPOOL).write_text("in the way")
    notices = opened(tmp_path, receiver)
    notices.notify(notice())
    assert "cannot be kept" in notices.settle()[0]


def test_a_secret_in_the_address_is_in_no_message(tmp_path):
    settings = NoticeSettings(webhook="http://127.0.0.1:9/{secret}", secret_variable="HOOK")
    notices = open_notices(tmp_path, settings, {"HOOK": "planted-secret"})
    notices.notify(notice())
    assert "planted-secret" not in str(notices.settle()) + notices.deliver(notice())


@pytest.mark.parametrize(
    "settings",
    [
        NoticeSettings(webhook="ftp://x"),
        NoticeSettings(webhook="http://x/{secret}", secret_variable="NOT_SET"),
        NoticeSettings(syslog="nonsense"),
        NoticeSettings(mail=MailSettings(server="x", sender="a@x", recipients=("b@x",))),
    ],
)
def test_an_address_that_is_none_is_refused_at_the_start(tmp_path, settings):
    with pytest.raises(ConfigurationError):
        open_notices(tmp_path, settings, {})


def test_nothing_configured_sends_nothing(tmp_path):
    assert open_notices(tmp_path, NoticeSettings(), {}) is None


def test_a_line_stays_one_line_whatever_was_typed():
    line = notice_line(notice(reason="a\nb\x1b[31m", detail="c\rd"))
    assert line.isprintable()
