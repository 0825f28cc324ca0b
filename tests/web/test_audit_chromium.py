"""
The review page in a real browser: a headless Chromium, driven over a pipe.

`SAFECONSOLE_CHROMIUM` names the program where it is not on the path. `SAFECONSOLE_SCREENSHOTS` names a
directory that keeps pictures to look at.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from safeconsole.audit.archive import open_archive
from safeconsole.clock import SystemClock
from safeconsole.audit.journal import open_journal
from safeconsole.audit.recording import open_recording, read_recording
from safeconsole.audit.review import open_reviews
from safeconsole.audit.record import (
    Asked,
    Decided,
    ElevationChanged,
    Ended,
    Intent,
    Sampled,
    SessionClosed,
    SessionOpened,
)
from safeconsole.config.settings import RecordingSettings
from tests.console.test_recorded_consoles import embedded, shop, sit  # noqa: F401 - fixtures

from safeconsole.web.local import Desk, respond
from safeconsole.web.local import new_keys
from safeconsole.web.server import PageServer

CHROMIUM = os.environ.get("SAFECONSOLE_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
HOSTILE = "<script>window.owned=1</script><img src=x onerror='window.owned=1'>\x1b[31m\u202e"
SECONDS = 20


class Browser:
    """A page of a headless Chromium, over its debugging pipe: JSON, each message ended by a NUL."""

    def __init__(self, profile):
        to_read, self.write = os.pipe()
        self.read, to_write = os.pipe()

        def ends():
            os.dup2(to_read, 3)
            os.dup2(to_write, 4)

        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe", "--no-first-run",
                     "--window-size=1200,900", f"--user-data-dir={profile}"]  # fmt: skip
        # Not before 3 and 4 are ours: whatever has them now would be closed in the child.
        self.process = subprocess.Popen(
            [CHROMIUM, *arguments],
            preexec_fn=ends,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self.number, self.held, self.complaints = 0, b"", []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if hasattr(self, "session"):
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            answer = self._next()
            if answer.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}:
                self.complaints.append(json.dumps(answer["params"]))
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
        raise AssertionError(f"{method} was not answered")

    def _next(self):
        while b"\0" not in self.held:
            data = os.read(self.read, 1 << 20)
            assert data, "the browser is gone"
            self.held += data
        message, _, self.held = self.held.partition(b"\0")
        return json.loads(message)

    def evaluate(self, code):
        return self.call("Runtime.evaluate", expression=code, returnByValue=True)["result"].get("value")

    def visit(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def wait(self, condition):
        deadline = time.monotonic() + SECONDS
        while not self.evaluate(condition):
            assert time.monotonic() < deadline, (condition, self.text())
            time.sleep(0.05)

    def text(self):
        return self.evaluate("document.body.innerText")

    def picture(self, name):
        place = os.environ.get("SAFECONSOLE_SCREENSHOTS")
        if place:
            data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
            Path(place, f"{name}.png").write_bytes(base64.b64decode(data))

    def close(self):
        self.process.kill()
        self.process.wait(SECONDS)
        os.close(self.read)
        os.close(self.write)


def write(directory):
    journal = open_journal(directory, clock=SystemClock(), session="hostile")
    journal.append(SessionOpened(person="ana", login="ops", groups=("dba",), host="laptop", origin="10.0.0.9", agent="", face="sql", cluster="shop",
                                 environment="production", policy="baseline", policy_hash="c0ffee", program="safeconsole"))  # fmt: skip
    journal.append(
        Asked(
            statement=1,
            sql=f"SELECT '{HOSTILE}'\nFROM orders",
            digest="d",
            kind="select",
            effects=("read",),
            tables=("shop.orders",),
            hazards=(),
        )
    )
    journal.append(Decided(statement=1, verdict="deny", rules=("secrets",), policy="p", route="replica", node="replica-1", server="s", facts={},
                           limits={}, message="it reads secrets"))  # fmt: skip
    journal.append(Ended(statement=1, outcome="refused", message="it reads secrets"))
    journal.append(ElevationChanged(id="e1", state="granted", event="self-approved", scope="statement", cluster="shop", reason="stuck orders",
                                    ticket="INC-7", digest="d", server="s", window_seconds=900.0))  # fmt: skip
    journal.append(
        Asked(
            statement=2,
            sql="UPDATE orders SET status = 'open'",
            digest="d",
            kind="update",
            effects=("write",),
            tables=("shop.orders",),
            hazards=(),
        )
    )
    journal.append(Intent(statement=2, sql="UPDATE orders SET status = 'open'", digest="d", node="primary", server="s", role="primary", account="elevated",
                          read_only=False, guards={"lock_wait_timeout": "2"}, limits={"session_memory_bytes": 64 << 20}, elevation="e1"), durable=True)  # fmt: skip
    for tick in range(1, 40):
        journal.append(
            Sampled(
                statement=2,
                elapsed_seconds=tick / 5,
                session_memory_bytes=(tick * tick) << 15,
                instance_memory_bytes=(4096 + 3 * tick) << 20,
            )
        )
    journal.append(
        Ended(
            statement=2,
            outcome="stopped",
            stopped_by="watchdog",
            ceiling="run_seconds",
            kill="killed",
            elapsed_seconds=8.0,
        )
    )
    journal.append(SessionClosed(statements=2))
    journal.close()
    recording = open_recording(
        directory,
        "hostile",
        clock=SystemClock(),
        size=os.terminal_size((80, 24)),
        settings=RecordingSettings(keep="rows"),
    )
    for text in (
        "\x1b[1;31mshop primary\x1b[0m> ",
        "wrong\x1b[5D\x1b[K",
        "right\r\n",
        "<b>bold?</b>\x1b]0;owned\x07\r\n",
        "over\x1b[1A",
    ):
        recording.output(text)
    recording.close()


@pytest.fixture
def page(tmp_path):
    write(tmp_path / "audit")
    with shown(tmp_path / "audit", tmp_path / "profile") as browser:
        yield browser


@contextlib.contextmanager
def shown(directory, profile):
    """The pages of an audit directory, in a browser that was let in."""
    if not CHROMIUM:
        pytest.skip("THE BROWSER TESTS DID NOT RUN: no chromium on the path; name one with SAFECONSOLE_CHROMIUM")
    server = PageServer()
    keys = new_keys(server.server_port)
    desk = Desk(
        archive=lambda: open_archive(directory), reviews=lambda: open_reviews(directory, by="cleo", clock=SystemClock()),
        recording=lambda session: read_recording(directory, session), keys=keys,
    )  # fmt: skip
    server.answer = partial(respond, desk=desk)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with contextlib.closing(Browser(profile)) as browser:
        browser.root, browser.directory = f"http://127.0.0.1:{server.server_port}", directory
        browser.token, browser.base = keys.token, f"{browser.root}{keys.base}".removesuffix("/")
        browser.visit(f"{browser.root}/open?token={keys.token}")
        yield browser
    server.shutdown()
    server.server_close()


def test_a_reviewer_reads_a_story_and_approves_it(page):
    assert page.evaluate("location.search") == ""
    assert "refused by a deny rule" in page.text()
    page.picture("queue")
    page.evaluate("document.querySelector('td a').click()")
    page.wait("document.querySelector('ol.story') !== null")
    page.picture("session")
    assert "window.owned=1" in page.text()
    assert page.evaluate("window.owned") is None
    assert page.evaluate("document.querySelectorAll('ol.story img, ol.story script').length") == 0
    assert page.evaluate("document.querySelectorAll('svg polyline').length") == 2
    assert "limit 64.0 MiB" in page.evaluate("document.querySelector('svg').textContent")
    # What is styled is laid out: the style sheet was allowed by the page's own policy.
    assert page.evaluate("getComputedStyle(document.querySelector('ol.story li')).display") == "grid"
    page.evaluate(
        "document.querySelector('textarea').value = 'looked at'; document.querySelector('button[value=approve]').click()"
    )
    page.wait("document.body.innerText.includes('cleo approve: looked at')")
    page.visit(f"{page.base}/")
    assert "Nothing waits for a review" in page.text()
    assert open_archive(page.directory).verify() == ()
    assert page.complaints == []


def test_a_recording_plays_and_stays_text(page):
    page.visit(f"{page.base}/sessions/hostile/replay")
    page.wait("document.getElementById('screen').textContent.includes('over')")
    page.picture("replay")
    assert page.evaluate("document.getElementById('screen').textContent").splitlines() == [
        "shop primary> right",
        "<b>bold?</b>",
        "over",
    ]
    assert page.evaluate("document.querySelectorAll('#screen b').length") == 0
    assert page.evaluate("getComputedStyle(document.querySelector('#screen span')).color") == "rgb(224, 108, 117)"
    page.evaluate("seek.value = 200; seek.dispatchEvent(new Event('input'))")
    page.wait("document.getElementById('screen').textContent.includes('shop primary')")
    assert page.complaints == []


def test_a_real_consoles_recording_plays_as_its_terminal_showed_it(shop, tmp_path):
    config = shop('\n[audit.recordings]\nkeep = "rows"\n')
    long = "SELECT id, status, '" + "x" * 130 + "' AS wide FROM orders WHERE id < 3;"
    sit(config, "sql", r"\status", "SELECT id, status FROM orders WHERE id = 2;", long, "DROP TABLE orders;")
    with shown(tmp_path / "audit", tmp_path / "profile") as browser:
        browser.visit(f"{browser.base}/?state=all")
        browser.evaluate("document.querySelector('td a').click()")
        browser.wait("document.querySelector('ol.story') !== null")
        browser.evaluate("[...document.querySelectorAll('a')].find((a) => a.textContent.includes('Replay')).click()")
        browser.wait("document.getElementById('seek')?.value === '1000'")
        browser.picture("real-replay")
        screen = browser.evaluate("document.getElementById('screen').textContent")
        assert browser.evaluate("document.getElementById('doubt').hidden") is True
        for line in ("cluster  shop (demo)", "> SELECT id, status FROM orders WHERE id = 2", "not run: it is no read"):
            assert line in screen
        # The terminal was 110 wide: what is longer stands on the next line, as it did there.
        assert max(map(len, screen.splitlines())) == 110
        (cast,) = (tmp_path / "audit" / "recordings").iterdir()
        cast.write_bytes(cast.read_bytes().replace(b"it is no read", b"it was allowed"))
        browser.visit(browser.evaluate("location.href"))
        browser.wait("!document.getElementById('doubt').hidden")
        browser.wait("document.getElementById('seek').value === '1000'")
        browser.picture("forged-replay")
        assert "somebody changed it" in browser.text()
        assert (
            browser.evaluate("getComputedStyle(document.getElementById('doubt')).backgroundColor") == "rgb(192, 57, 43)"
        )
        assert browser.complaints == []


def test_a_recording_that_changes_while_it_is_looked_at_is_announced(page):
    page.visit(f"{page.base}/sessions/hostile/replay")
    page.wait("document.getElementById('screen').textContent.includes('over')")
    # The page was made before; what it plays is what it says.
    assert page.evaluate("document.getElementById('doubt').textContent") == (
        "nothing vouches for this recording: its session has not closed with the digest of one"
    )
    assert page.evaluate("screen.classList.contains('doubtful')")


def test_a_long_recording_is_played_to_its_end(page):
    path = page.directory / "recordings" / "hostile.cast"
    lines = [json.dumps([at / 1000, "o", f"row {at} " + "x" * 90 + "\r\n"]) for at in range(20_000)]
    path.write_text('{"version":2,"width":80,"height":24}\n' + "\n".join(lines) + "\n")
    page.visit(f"{page.base}/sessions/hostile/replay")
    page.wait("events.length === 20000")
    page.evaluate("play.click(); seek.value = 1000; seek.dispatchEvent(new Event('input'))")
    page.wait("document.getElementById('screen').textContent.includes('row 19999 ')")
    # Only what fits a long look is drawn, and a line that is too wide goes on below.
    assert page.evaluate("document.getElementById('screen').textContent.split('\\n').length") <= 2001
    assert page.complaints == []


def test_the_queue_is_filtered_by_its_form(page):
    page.visit(f"{page.base}/")
    page.evaluate(
        "document.querySelector('select[name=state]').value = 'approved'; document.querySelector('form').submit()"
    )
    page.wait("document.body.innerText.includes('No session is like that')")
    page.evaluate("document.querySelector('select[name=state]').value = 'all'; document.querySelector('form').submit()")
    page.wait("document.body.innerText.includes('hostile')")


def test_a_search_finds_in_the_browser(page):
    page.visit(f"{page.base}/search")
    page.evaluate(
        "document.querySelector('input[name=ticket]').value = 'INC-7'; document.querySelector('form').submit()"
    )
    page.wait("location.search.includes('INC-7') && document.readyState === 'complete'")
    page.picture("search")
    assert "UPDATE orders" in page.text()
    assert "window.owned" not in page.text()


def test_another_page_can_neither_read_nor_write_here(page):
    other = f"""
        const form = document.createElement('form');
        form.method = 'post'; form.action = '{page.base}/sessions/hostile/review';
        form.innerHTML = '<input name=act value=approve><input name=csrf value=x>';
        document.body.append(form); form.submit();
    """
    page.visit("data:text/html,<body>elsewhere")
    page.evaluate(other)
    page.wait("document.body.innerText.includes('Open the address')")
    page.visit(f"{page.root}/open?token={page.token}")
    assert "used already" in page.text()
    assert open_reviews(page.directory, by="x", clock=SystemClock()).reviews() == ()
