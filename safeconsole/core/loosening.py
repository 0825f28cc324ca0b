"""What a person whom a ceiling stopped can do about the ceiling, in the words of the face they use."""

from __future__ import annotations

from collections.abc import Mapping

from safeconsole.core.decision import ITS_OWN_TEXT, Decision
from safeconsole.core.errors import SafeConsoleError, StoppedError
from safeconsole.core.limits import FLOORS, LIMIT_NAMES
from safeconsole.core.policy import Policy

_FLAGS = {"run_seconds": "--timeout S", "fetched_rows": "--max-rows N"}
LEVERS: Mapping[str, Mapping[str, str]] = {
    "sql": {"run_seconds": "\\timeout S", "fetched_rows": "\\rows N"},
    "one-shot": _FLAGS,
    "python": {name: f"{flag} when you open it" for name, flag in _FLAGS.items()},
}
"""How each face loosens a ceiling; what is not here cannot be loosened there."""


def say_how_to_loosen(failure: SafeConsoleError, decision: Decision, policy: Policy, *, face: str) -> None:
    """Add to the way out of a statement that a ceiling stopped how far that ceiling can be raised, and how."""
    if not isinstance(failure, StoppedError) or failure.ceiling not in LIMIT_NAMES:
        return
    how = _how(failure.ceiling, decision, policy, face=face)
    failure.instead = "; ".join(part for part in (failure.instead, how) if part)


def _how(ceiling: str, decision: Decision, policy: Policy, *, face: str) -> str:
    holds, most = getattr(decision.limits, ceiling), getattr(policy.ceilings, ceiling)
    source = dict(line.split(": ", 1) for line in decision.limit_sources).get(ceiling, "session")
    if source == ITS_OWN_TEXT:
        return f"its own text holds {ceiling} at {holds:,.15g}"
    if source != "session":
        return f"rule {source} holds {ceiling} at {holds:,.15g}"
    if holds <= most if ceiling in FLOORS else holds >= most:
        return f"{holds:,.15g} is the most {ceiling} that {policy.may_be_loosened_by(ceiling)} allows"
    lever = LEVERS.get(face, {}).get(ceiling, "")
    return f"{lever} raises it, to at most {most:,.15g}" if lever else ""
