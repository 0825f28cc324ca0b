"""Judges what is being typed, beside the typing: nothing here opens a connection or makes a key wait."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from safeconsole.core.decision import Decision
from safeconsole.core.limits import Limits
from safeconsole.core.routing import route_of
from safeconsole.core.statement import Statement
from safeconsole.core.vocabulary import CostClass, Route, Verdict

JUDGED_CHARACTERS = 100_000
"""A longer text is judged only when it is sent."""

PAUSE_SECONDS = 0.06
"""How long the typing must rest before it is judged."""


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the policy will say of a statement, as far as that can be known without asking a server.

    Attributes:
        kind: the statement's kind.
        route: where it belongs.
        verdict: the verdict so far; a server's opinion may still make it stricter.
        limits: ceilings it would run under.
        why: the first danger, else the policy's message, or "".
        instead: the safer way, or "".
    """

    kind: str
    route: Route
    verdict: Verdict
    limits: Limits
    why: str = ""
    instead: str = ""


def preview_of(statement: Statement, decision: Decision, *, to: str) -> Preview:
    """
    Return what the line below the prompt says of a statement that was judged offline.

    Args:
        to: where the person sends what follows, "" when the console chooses.
    """
    danger = next((hazard for hazard in statement.hazards if hazard.cost is not CostClass.LOOKUP), None)
    return Preview(
        kind=statement.kind,
        route=route_of(statement, to=to),
        verdict=decision.verdict,
        limits=decision.limits,
        why=danger.why if danger else decision.message,
        instead=decision.instead or (danger.instead if danger else ""),
    )


class LiveVerdict:
    """
    The previews of the text typed last.

    Args:
        judge: turns a text into previews; runs in a thread of its own.
        changed: called from that thread when there are new previews.
    """

    def __init__(self, judge: Callable[[str], tuple[Preview, ...]], changed: Callable[[], None]) -> None:
        self._judge = judge
        self._changed = changed
        self._wake = threading.Condition()
        self._text = ""
        self._judged = ""
        self._previews: tuple[Preview, ...] = ()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="live-verdict", daemon=True)
        self._thread.start()

    def typed(self, text: str) -> None:
        """Take the text as it stands now; returns at once."""
        with self._wake:
            self._text = text if len(text) <= JUDGED_CHARACTERS and not text.lstrip().startswith("\\") else ""
            if not self._text.strip():
                self._judged, self._previews = self._text, ()
            self._wake.notify()

    def previews(self) -> tuple[Preview, ...]:
        """Return the previews of the last text that was judged."""
        return self._previews

    def close(self) -> None:
        """End the thread."""
        self._stopped.set()
        with self._wake:
            self._wake.notify()
        self._thread.join(timeout=1)

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopped.is_set() or self._text != self._judged)
            if self._stopped.wait(PAUSE_SECONDS):
                return
            text = self._text
            previews = self._judged_or_nothing(text)
            with self._wake:
                self._judged = text
                # Typed further meanwhile: what was judged is still the best there is to show.
                self._previews = previews if self._text.strip() else ()
            self._changed()

    def _judged_or_nothing(self, text: str) -> tuple[Preview, ...]:
        if not text.strip():
            return ()
        try:
            return self._judge(text)
        except Exception:  # noqa: BLE001 (a thread that dies would print over the prompt; what is sent is judged again)
            return ()
