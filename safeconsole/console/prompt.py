"""The prompt, the line below it, and the live verdict on the typed text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import msgspec
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding.vi_state import InputMode
from prompt_toolkit.styles import Style

from safeconsole.output.text import clipped, clock_text, counted, is_production, safe, size_text, width_of
from safeconsole.policy.decision import Decision
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import route_of
from safeconsole.session.context import Status
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import CostClass, Route, Verdict

JUDGED_CHARACTERS = 100_000
"""A longer text is judged only when it is sent."""

PAUSE_SECONDS = 0.06
"""Pause in typing after which the text is judged."""


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The policy's verdict on a statement as far as known offline.

    Attributes:
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
    """Return the preview of a decision made offline.

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
    """The previews of the latest typed text.

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
        self._thread = threading.Thread(target=self._work, name="safeconsole-live-verdict", daemon=True)
        self._thread.start()

    def typed(self, text: str) -> None:
        """Judge the present text in the background; does not wait."""
        with self._wake:
            self._text = text if len(text) <= JUDGED_CHARACTERS and not text.lstrip().startswith("\\") else ""
            if not self._text.strip():
                self._judged, self._previews = self._text, ()
            self._wake.notify()

    def previews(self) -> tuple[Preview, ...]:
        return self._previews

    def close(self) -> None:
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


# Only the sixteen colours that a theme defines, so that light and dark terminals both stay readable.
STYLE = Style.from_dict(
    {
        "prompt.cluster": "bold",
        "prompt.production": "bold ansired",
        "prompt.node": "ansicyan",
        "prompt.primary": "bold ansiyellow",
        "prompt.elevated": "bold reverse ansired",
        "prompt.transaction": "bold ansicyan",
        "bottom-toolbar": "noreverse",
        "toolbar.allow": "bold ansigreen",
        "toolbar.confirm": "bold ansiyellow",
        "toolbar.elevate": "bold ansired",
        "toolbar.deny": "bold ansired",
        "sql.keyword": "bold ansiblue",
        "sql.function": "ansicyan",
        "sql.string": "ansigreen",
        "sql.number": "ansimagenta",
        "sql.name": "ansicyan",
        "sql.variable": "ansiyellow",
        "sql.comment": "italic",
        "sql.hint": "bold ansiyellow",
        "sql.command": "bold ansimagenta",
        "sql.unreadable": "reverse ansired",
        "auto-suggestion": "ansibrightblack",
    }
)
"""Colours of the console; PLAIN_STYLE stands in for it where colours are switched off."""

PLAIN_STYLE = Style.from_dict({"bottom-toolbar": "noreverse", "auto-suggestion": "", "prompt.elevated": "bold"})

_HINT = "\\help · ; ends a statement · Ctrl-D leaves"


def prompt_parts(status: Status) -> StyleAndTextTuples:
    """Return the prompt: cluster, schema, where the next read goes, an elevation, an open transaction, and `> `.

    What was asked last may have gone elsewhere, as a command of the console that looks at one node.
    """
    style = "class:prompt.production" if is_production(status.environment) else "class:prompt.cluster"
    parts: StyleAndTextTuples = [(style, safe(status.cluster))]
    if status.schema:
        parts.append(("", f"/{safe(status.schema)}"))
    style = "class:prompt.primary" if "primary" in {status.reads_role, status.to} else "class:prompt.node"
    # A name that says the role already needs it once; a name that lies is corrected.
    role = "" if status.reads_role in status.reads_at else f" ({status.reads_role})"
    if status.reads_at and (role or status.reads_at != status.to):
        parts += [("", " "), (style, f"{safe(status.reads_at)}{role}")]
    if status.to:
        parts += [("", " to "), (style, safe(status.to))]
    if status.elevated_seconds > 0:
        parts += [("", " "), ("class:prompt.elevated", f" ELEVATED {clock_text(status.elevated_seconds)} ")]
    if status.transaction is not None:
        style = "class:prompt.elevated" if status.transaction.writes else "class:prompt.transaction"
        parts += [("", " "), (style, f" {_short_transaction(status)} ")]
    parts.append(("", "> "))
    return parts


def transaction_text(status: Status) -> str:
    """Return the open transaction, its age and its changes; "" without one."""
    opened = status.transaction
    if opened is None:
        return ""
    what = f"{counted(opened.statements, 'statement')}"
    if opened.writes:
        what = f"{what}, {counted(opened.changed_rows, 'row')} changed"
    word = "TRANSACTION" if opened.writes else "transaction of reads"
    return f"{word} on {safe(opened.node)} {clock_text(status.transaction_seconds)}: {what}"


def _short_transaction(status: Status) -> str:
    """Return the open transaction in few words: what \\status says whole."""
    opened = status.transaction
    if opened is None:
        return ""
    changed = f", {counted(opened.changed_rows, 'row')}" if opened.changed_rows else ""
    elsewhere = f" on {safe(opened.node)}" if opened.node != status.reads_at else ""
    word = "TRANSACTION" if opened.writes else "transaction"
    return f"{word}{elsewhere} {clock_text(status.transaction_seconds)}{changed}"


def continuation_text(width: int) -> str:
    """Return the prompt of further lines, as wide as the first."""
    return "-> ".rjust(width)


def toolbar_parts(
    previews: Sequence[Preview], limits: Limits, columns: int, *, told: Sequence[str] = ()
) -> StyleAndTextTuples:
    """Return the line below the prompt, at most `columns` cells wide.

    What the person must know comes first, then the verdict on what is typed, else the hint.
    """
    if told:
        return [("class:toolbar.deny", clipped(f" {safe(told[-1])}", columns))]
    if not previews:
        return [("", clipped(f" {_HINT} · {limits_text(limits)}", columns))]
    worst = max(previews, key=lambda preview: preview.verdict)
    count = f"{len(previews)} statements, strictest: " if len(previews) > 1 else ""
    head = f" {count}{worst.verdict.word} "
    rest = _explained(worst, max(0, columns - width_of(head)))
    return [(f"class:toolbar.{worst.verdict.word}", clipped(head, columns)), ("", rest)]


def vi_mode_text(mode: InputMode) -> str:
    """Return the vi mode shown at the beginning of the line below the prompt."""
    return {InputMode.NAVIGATION: " normal", InputMode.INSERT: " insert"}.get(
        mode, f" {mode.value.removeprefix('vi-')}"
    )


def opening_parts(cluster: str, columns: int) -> StyleAndTextTuples:
    return [("", clipped(f" opening {safe(cluster)} … · type on: the first Enter waits for it", columns))]


def limits_text(limits: Limits) -> str:
    """Return the limits shown below the prompt: time and rows."""
    return f"{limits.run_seconds:g} s · {limits.fetched_rows:,} rows"


def status_text(status: Status, policy: str, format_name: str) -> str:
    limits = status.limits
    where = f"{status.node} ({status.role})" if status.node else "not chosen yet"
    ended = f"no: {status.elevation_ended}" if status.elevation_ended else "no"
    elevated = f"{clock_text(status.elevated_seconds)} left" if status.elevated_seconds > 0 else ended
    lines = (
        ("cluster", f"{status.cluster} ({status.environment or 'no environment'})"),
        ("policy", policy),
        ("last node", where),
        ("next goes to", _next_goes_to(status)),
        ("schema", status.schema or "none"),
        ("elevated", elevated),
        ("transaction", transaction_text(status) or "none is open"),
        ("time", f"{limits.run_seconds:g} s, {limits.lock_wait_seconds:g} s for a lock"),
        ("rows", f"{limits.shown_rows:,} shown, {limits.fetched_rows:,} fetched, {size_text(limits.fetched_bytes)}"),
        ("changes", f"{limits.changed_rows:,} rows"),
        ("memory", _memory(limits)),
        ("format", format_name),
    )
    return "".join(f"{label:>12}  {safe(text)}\n" for label, text in lines)


def _next_goes_to(status: Status) -> str:
    if status.to or not status.reads_at:
        return status.to or "what the statement and the measured nodes ask for"
    return f"{status.reads_at} for a read, the primary for a change"


def _memory(limits: Limits) -> str:
    return f"{size_text(limits.session_memory_bytes)} in the session, {size_text(limits.grown_memory_bytes)} of growth"


def _explained(preview: Preview, room: int) -> str:
    route = f"{preview.kind} on a {preview.route}"
    if preview.verdict is Verdict.ALLOW:
        return clipped(safe(f"{route} · {limits_text(preview.limits)}"), room)
    why, out = safe(preview.why), safe(f"→ {preview.instead}") if preview.instead else ""
    whole = " · ".join(part for part in (safe(route), why, out) if part)
    if width_of(whole) <= room or not (why and out):
        return clipped(whole, room)
    left = room - width_of(out) - 3
    return clipped(f"{clipped(why, max(left, _LEAST_WHY))} · {out}", room)


_LEAST_WHY = 24
"""Cells of the reason that stay beside a long way out."""
