"""Errors, evidence and explanations as a person reads them."""

from __future__ import annotations

from safeconsole.errors import DeniedError, OutcomeUnknownError, RefusedError, SafeConsoleError
from safeconsole.output.cells import clipped, safe
from safeconsole.output.style import PLAIN, Look
from safeconsole.policy.decision import Considered
from safeconsole.policy.explanation import explanation_of
from safeconsole.policy.policy import Policy
from safeconsole.sqltext.vocabulary import Verdict

# --------------------------------------------------------------------------------------------------------------------
# What a person is shown when the answer is not a plain yes: the message, the facts, the rule, the way out.
#
# Plain text first: it is what stands on stderr beside an exit code. A decorated terminal gets the same lines in a
# panel.


SHOWN_STATEMENT = 300
"""Characters of a statement shown as evidence; the journal holds it whole."""

_STYLES = {Verdict.ALLOW: "green", Verdict.CONFIRM: "yellow", Verdict.ELEVATE: "red", Verdict.DENY: "red"}
_TITLES = {
    Verdict.ALLOW: "may run",
    Verdict.CONFIRM: "needs a confirmation",
    Verdict.ELEVATE: "needs an elevation",
    Verdict.DENY: "is denied",
}

Lines = tuple[tuple[str, str], ...]
"""One pair a line: what it is about, and what is to say of it."""


def evidence_lines(considered: Considered) -> Lines:
    """Return everything that was found out about a statement before anything ran."""
    decision = considered.decision
    lines = [("asked", one_line(considered.statement.text))]
    if considered.node is None:
        lines.append(("node", f"none is fit; it belongs on a {considered.route}"))
    lines += [split_label(line) for line in considered.evidence]
    if decision.limit_sources:
        lines.append(("limits", ", ".join(decision.limit_sources)))
    if decision.sensors:
        lines.append(("sensors", f"must be readable while it runs: {', '.join(decision.sensors)}"))
    if decision.message:
        lines.append(("because", decision.message))
    if decision.instead:
        lines.append(("instead", decision.instead))
    return tuple((safe(label), safe(text)) for label, text in lines)


def evidence_text(considered: Considered, look: Look = PLAIN) -> str:
    """Return the evidence as text that ends with a newline, in a panel where the look allows one."""
    return block_text(title_of(considered), evidence_lines(considered), look, style=style_of(considered))


def style_of(considered: Considered) -> str:
    """Return the colour that a verdict is shown in."""
    return _STYLES[considered.decision.verdict]


def title_of(considered: Considered) -> str:
    """Return what was decided of a statement, in a few words."""
    verdict = considered.decision.verdict
    title = f"{considered.statement.kind} {_TITLES[verdict]}"
    if considered.decision.observed and verdict is not Verdict.ALLOW:
        title += " (observed only: the policy lets it run)"
    return title


def error_text(error: SafeConsoleError, look: Look = PLAIN, *, next_step: str = "") -> str:
    """
    Return an error as text that ends with a newline: one clear line, the evidence, the way out.

    Args:
        next_step: what this face offers beyond the safer way, such as how to elevate, or "".
    """
    lines = [split_label(line) for line in error.evidence]
    if error.instead:
        lines.append(("instead", error.instead))
    if next_step:
        lines.append(("or", next_step))
    shown = tuple((safe(label), safe(text)) for label, text in lines)
    title = f"{_what_became_of_it(error)}{safe(error.message)}"
    if not look.decorated:
        return block_text(f"safeconsole: {title}", shown, look)
    style = "red" if isinstance(error, DeniedError | OutcomeUnknownError) else "yellow"
    return block_text(title, shown, look, style=style)


def block_text(title: str, lines: Lines, look: Look = PLAIN, *, style: str = "") -> str:
    """Return a title and labelled lines as text that ends with a newline, in a panel where the look allows one."""
    if look.decorated and lines:
        # Imported here: a pipe and a plain terminal never need it.
        from safeconsole.output.panels import panel_text  # noqa: PLC0415

        return panel_text(title, lines, look, style=style)
    return "".join([f"{title}\n", *(f"  {label}: {text}\n" if label else f"  {text}\n" for label, text in lines)])


def one_line(sql: str) -> str:
    """Return a statement on one line, cut to `SHOWN_STATEMENT` characters."""
    return clipped(safe(" ".join(sql.split())), SHOWN_STATEMENT)


def split_label(line: str) -> tuple[str, str]:
    """Return an evidence line's label and text, both safe; a line without a short label has the label ""."""
    label, colon, text = line.partition(": ")
    return (safe(label), safe(text)) if colon and len(label) <= 20 else ("", safe(line))


def _what_became_of_it(error: SafeConsoleError) -> str:
    """Say what an operator asks first, where the message itself is the policy's."""
    if isinstance(error, DeniedError):
        return "denied: "
    return "not run: " if type(error) is RefusedError else ""


# --------------------------------------------------------------------------------------------------------------------
# Everything behind one decision: the evidence, the rules that matched, their facts, and who set each limit.


def explanation_text(considered: Considered, policy: Policy, look: Look = PLAIN) -> str:
    """Return a decision explained, as text that ends with a newline, in a panel where the look allows one."""
    # The explanation names every limit, where the evidence names those that are not the policy's.
    evidence = tuple(line for line in evidence_lines(considered) if line[0] not in {"limits", "sensors"})
    reasons = tuple(split_label(safe(line)) for line in explanation_of(considered, policy))
    return block_text(title_of(considered), (*evidence, *reasons), look, style=style_of(considered))
