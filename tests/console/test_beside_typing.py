"""What judges the typing runs in a thread of its own, and never lets go of what another thread is being answered on."""

import threading

import pytest

from safeconsole.session.resources import Resources
from safeconsole.demo.stage import staged
from safeconsole.cli.application import Door
from safeconsole.console.console import _previews
from safeconsole.console.prompt import LiveVerdict
from safeconsole.sqltext.vocabulary import Verdict
from safeconsole.console.state import Services
from safeconsole.output.confirming import NoTerminal
from safeconsole.app import Program


@pytest.fixture
def settlers(monkeypatch):
    """Names of the threads in which a session let go of what is over."""
    seen, settle = [], Resources.settle

    def noted(self):
        seen.append(threading.current_thread().name)
        return settle(self)

    monkeypatch.setattr(Resources, "settle", noted)
    return seen


def test_judging_what_is_typed_lets_go_of_nothing(settlers, tmp_path):
    with staged("embedded") as up:
        program = Program({"HOME": str(tmp_path)})
        program.configure(str(up.config))
        with program.open(Door(person=program.person, cluster="shop", face="sql", confirmer=NoTerminal())) as session:
            session.session.topology()
            services = Services(
                rules=session.rules, preview=lambda each: session.preview(each).decision, capacity=lambda _: None
            )
            state = type("State", (), {"session": session.session, "services": services})()
            judged = threading.Event()
            live = LiveVerdict(lambda text: _previews(state, text), judged.set)
            live.typed("SELECT * FROM orders")
            assert judged.wait(20)
            (preview,) = live.previews()
            live.close()
            assert str(preview.verdict) == str(
                session.preview(session.session.split("SELECT * FROM orders")[0]).decision.verdict
            )
            # Nothing can be said of a first word that is half typed.
            for half in ("SEL", "sh", "SELECT 1; upd"):
                assert [each.verdict for each in _previews(state, half)] == [Verdict.ALLOW] * half.count(";")
            # Nor of a quote or a comment that is open.
            for half in ("SELECT * FROM `ord", "SELECT 'a", "SELECT 1 /* x", "SELECT 1; SELECT * FROM `o"):
                assert [each.verdict for each in _previews(state, half)] == [Verdict.ALLOW] * half.count(";")
            assert [each.verdict for each in _previews(state, "upd;")] == [Verdict.ELEVATE]
            assert settlers == []
            session.session.status()
            assert settlers == ["MainThread"]
