"""Everything behind one decision: the evidence, the rules that matched, their facts, and who set each limit."""

from __future__ import annotations

from safeconsole.core.decision import Considered
from safeconsole.core.explanation import explanation_of
from safeconsole.core.policy import Policy
from safeconsole.shells.terminal.cells import safe
from safeconsole.shells.terminal.evidence import block_text, evidence_lines, split_label, style_of, title_of
from safeconsole.shells.terminal.looks import PLAIN, Look


def explanation_text(considered: Considered, policy: Policy, look: Look = PLAIN) -> str:
    """Return a decision explained, as text that ends with a newline, in a panel where the look allows one."""
    # The explanation names every limit, where the evidence names those that are not the policy's.
    evidence = tuple(line for line in evidence_lines(considered) if line[0] not in {"limits", "sensors"})
    reasons = tuple(split_label(safe(line)) for line in explanation_of(considered, policy))
    return block_text(title_of(considered), (*evidence, *reasons), look, style=style_of(considered))
