"""Asks the person: the evidence first, then a typed answer. No terminal, no yes."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import TextIO

from safeconsole.approvals.requests import ApprovalRequest
from safeconsole.errors import RefusedError
from safeconsole.output.evidence import (
    SHOWN_STATEMENT,
    Lines,
    block_text,
    evidence_lines,
    evidence_text,
    one_line,
    split_label,
)
from safeconsole.output.text import PLAIN, StreamStyle, clock_text, safe, until_text
from safeconsole.policy.decision import PREVIEWED, Assessment, ElevationRequest, Scope
from safeconsole.sqltext.redaction import may_hold_secret
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Verdict


def is_brake(considered: Assessment) -> bool:
    """Whether a confirmation is a brake: asked of a person who is elevated already."""
    return considered.decision.verdict is Verdict.ELEVATE and bool(considered.decision.brakes)


PREVIEW = "preview"
"""The answer that asks for the rows of a change first, and the code of the refusal that it is."""

YES = "yes"
"""The whole word, typed: a stray y must not run anything."""


class NoTerminal:
    """Answers no to everything, because no person can be asked."""

    def confirm(self, considered: Assessment) -> bool:  # noqa: ARG002 (the protocol's signature)
        return False

    def elevate(self, request: ElevationRequest, considered: Assessment | None) -> bool:  # noqa: ARG002 (the protocol's signature)
        return False

    def show_approval(self, code: str, request: ApprovalRequest) -> None:
        """Show nothing, because no person is there."""

    def paste_approval(self, code: str, request: ApprovalRequest) -> str:  # noqa: ARG002 (the protocol's signature)
        """Return nothing, because no person is there."""
        return ""

    def skip_approval(self, request: ApprovalRequest, skipped: tuple[str, ...]) -> bool:  # noqa: ARG002 (as above)
        return False


class GivenConfirmer:
    """Answers from the command line without a terminal; on a terminal the person types the name once more.

    An argument can be written by any program; who elevates from a terminal is a person only if they answer at it.

    Args:
        cluster: the cluster's name as the person typed it after `--confirm`, "" when they did not.
        terminal: asks the person; None where nobody can be asked.
        seated: whether a person sits there, so that what nobody answers is not granted.
    """

    def __init__(
        self, cluster: str, terminal: TerminalConfirmer | NoTerminal | None = None, *, seated: bool = False
    ) -> None:
        self._vouched: Assessment | None = None
        self._cluster = cluster
        self._terminal = terminal or NoTerminal()
        self._seated = seated

    def confirm(self, considered: Assessment) -> bool:
        """Return whether the name given is exactly the cluster's: the person typed the statement beside it.

        What asks whoever is elevated once more is answered at the terminal, if there is one.
        """
        if is_brake(considered):
            return considered is self._vouched or self._terminal.confirm(considered)
        return bool(self._cluster) and self._cluster == considered.facts.get("cluster.name")

    def elevate(self, request: ElevationRequest, considered: Assessment | None) -> bool:
        """Return whether the name given is exactly the cluster's, and typed at the terminal too, if there is one."""
        given = bool(self._cluster) and self._cluster == request.cluster
        if given and isinstance(self._terminal, TerminalConfirmer):
            vouched = self._terminal.vouch(request, considered)
            self._vouched = considered if vouched else None
            return vouched
        return given and not self._seated

    def show_approval(self, code: str, request: ApprovalRequest) -> None:
        sys.stderr.write(_second_person_text(code, request))
        sys.stderr.flush()

    def paste_approval(self, code: str, request: ApprovalRequest) -> str:
        return self._terminal.paste_approval(code, request)

    def skip_approval(self, request: ApprovalRequest, skipped: tuple[str, ...]) -> bool:
        """Ask on the terminal: an approval cannot be skipped in advance."""
        return self._terminal.skip_approval(request, skipped)


class TerminalConfirmer:
    """Asks on a terminal.

    Args:
        ask: writes a question and returns the typed line without its newline; raises EOFError when there is none.
        show: writes text that ends with a newline.
        style: what the terminal can show.
        previews: whether the face shows a change before it is made, when it is asked to.
    """

    def __init__(
        self,
        ask: Callable[[str], str],
        show: Callable[[str], None],
        style: StreamStyle = PLAIN,
        *,
        previews: bool = False,
    ) -> None:
        self.previews = previews
        self._ask = ask
        self._show = show
        self._style = style

    def confirm(self, considered: Assessment) -> bool:
        if is_brake(considered):
            title = f"{considered.statement.kind}: elevated, and asked once more"
            self._show(block_text(title, evidence_lines(considered), self._style, colour="red"))
        else:
            self._show(evidence_text(considered, self._style))
        offered = self._may_be_previewed(considered)
        other = f', or "{PREVIEW}" to see its rows first' if offered else ""
        answer = self._answer(f'run exactly this on {safe(considered.node or "")}? type "{YES}" to run it{other}: ')
        if offered and answer == PREVIEW:
            raise RefusedError("nothing was sent: its rows are shown first", code=PREVIEW)
        return answer == YES

    def _may_be_previewed(self, considered: Assessment) -> bool:
        shown_already = PREVIEWED in considered.decision.brakes
        return self.previews and not shown_already and considered.statement.kind in {"update", "delete"}

    def elevate(self, request: ElevationRequest, considered: Assessment | None) -> bool:
        """Show the evidence and what is asked for, and return whether the cluster's name was typed."""
        nodes = tuple((label, safe(text)) for label, text in map(split_label, request.evidence))
        found = evidence_lines(considered) if considered is not None else ()
        # Where the nodes were measured for the question, what a statement found out earlier is old.
        evidence = (*nodes, *(line for line in found if not nodes or line[0] != "node"))
        self._show(block_text("elevation", (*evidence, *_request_lines(request)), self._style, colour="red"))
        return (
            self._answer(f'to elevate, type the name of the cluster ("{safe(request.cluster)}"): ') == request.cluster
        )

    def vouch(self, request: ElevationRequest, considered: Assessment | None) -> bool:
        """Show the elevation in one line, and return whether the cluster's name was typed."""
        what = "every statement that needs an elevation"
        if considered is not None and request.scope is Scope.STATEMENT:
            what = _named(considered.statement)
        careful = considered.decision.asks_again if considered is not None else ()
        warned = "".join(f"careful: {safe(line)}\n" for line in careful)
        self._show(f"elevation on {safe(request.cluster)}, for: {what}\n{warned}")
        return self._answer(f'type the name of the cluster ("{safe(request.cluster)}"): ') == request.cluster

    def show_approval(self, code: str, request: ApprovalRequest) -> None:
        self._show(_second_person_text(code, request))

    def paste_approval(self, code: str, request: ApprovalRequest) -> str:
        self.show_approval(code, request)
        return self._answer("paste their answer (Enter gives up): ")

    def skip_approval(self, request: ApprovalRequest, skipped: tuple[str, ...]) -> bool:
        """Warn who is skipped and notified, and return whether `skip` and the cluster were typed."""
        names = ", ".join(safe(name) for name in skipped)
        lines = (
            ("skipped", names),
            ("told", f"the journal, and everybody who gets notices, name you and {names}"),
            ("reason", safe(request.reason)),
        )
        self._show(
            block_text(
                "nobody approved it; in an emergency it can run without approval", lines, self._style, colour="red"
            )
        )
        words = f"skip {safe(request.cluster)}"
        return self._answer(f'to go without a second person, type "{words}" (Enter gives up): ') == words

    def _answer(self, question: str) -> str:
        try:
            return self._ask(question).strip()
        except (EOFError, KeyboardInterrupt):
            # A person who is asked and interrupts has not agreed.
            self._show("\n")
            return ""


def terminal_confirmer(
    questions: TextIO, answers: TextIO, style: StreamStyle = PLAIN
) -> TerminalConfirmer | NoTerminal:
    """Return one that asks on two streams, or one that always says no when either is not a terminal."""
    if not (questions.isatty() and answers.isatty()):
        return NoTerminal()

    def ask(question: str) -> str:
        # MUST come before the question: what is typed once it can be read is an answer.
        _forget_typed_ahead(answers)
        questions.write(question)
        questions.flush()
        line = answers.readline()
        if not line.endswith("\n"):
            raise EOFError
        return line[:-1]

    def show(text: str) -> None:
        questions.write(text)
        questions.flush()

    return TerminalConfirmer(ask, show, style)


def _named(statement: Statement) -> str:
    """Return a statement on one line; one from a file may hold what its person never had on the screen."""
    if may_hold_secret(statement.text):
        return f"{statement.kind}, which is not shown: it may hold a secret"
    shown = one_line(statement.text)
    cut = len(statement.text) > SHOWN_STATEMENT
    return f"{shown} ({len(statement.text):,} characters in all)" if cut else shown


def _second_person_text(code: str, request: ApprovalRequest) -> str:
    return (
        f"this needs a second person, for {clock_text(request.window_seconds)} on {safe(request.cluster)}; "
        f"until {until_text(request.expires_epoch)} they run:\n\n  safeconsole approve {safe(code)}\n\n"
    )


def _request_lines(request: ElevationRequest) -> Lines:
    covers = (
        "exactly this statement, on this server"
        if request.scope is Scope.STATEMENT
        else "every statement that needs an elevation"
    )
    lines = [
        ("cluster", request.cluster),
        ("covers", covers),
        ("for", f"{clock_text(request.window_seconds)} from your answer"),
        ("reason", request.reason),
    ]
    if request.ticket:
        lines.append(("ticket", request.ticket))
    lines.append(("recorded", "the reason, the answer and every statement, in the audit journal"))
    return tuple((label, safe(text)) for label, text in lines)


def _forget_typed_ahead(answers: TextIO) -> None:
    if sys.platform == "win32":
        return
    import termios  # noqa: PLC0415 (not on every platform)

    try:
        termios.tcflush(answers.fileno(), termios.TCIFLUSH)
    except (termios.error, io.UnsupportedOperation):
        return
