"""How a policy extends another: its rules are added, and its settings are no looser than the base allows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import fields

from safeconsole.policy.limits import FLOORS, LIMIT_NAMES
from safeconsole.policy.policy import ElevationSettings, FenceMode, Policy
from safeconsole.policy.readings import Gates, tightest_gates

MERGED = ("limits", "ceilings", "gates", "elevation", "transactions", "literals_of", "fences", "slots")
"""Settings that are tables: what the policy does not name is the base's."""
JOINED = ("rules", "sensors")

_LITERALS = ("keep", "hash", "drop")


def extended(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the document of a policy that extends another one's.

    Args:
        base, own: documents that can be read by themselves, `own` but for what it takes over.
    """
    merged = {**base, **own}
    for name in MERGED:
        if name in base and name in own:
            merged[name] = {**base[name], **own[name]}
    for name in JOINED:
        if name in base:
            merged[name] = [*base[name], *own.get(name, ())]
    heavy = [each["slots"]["heavy"] for each in (base, own) if each.get("slots", {}).get("heavy")]
    if len(heavy) > 1:
        merged["slots"]["heavy"] = " || ".join(f"({condition})" for condition in heavy)
    return merged


def loosened(base: Policy, own: Policy) -> Iterator[tuple[str, str]]:
    """
    Yield the settings of a policy that are looser than those of its base, each with how.

    Returns:
        Names as `may_be_loosened` lists them ("limits.fetched_rows", "elevation.two_persons"), and the two values.
    """
    yield from _numbers(base, own)
    yield from _elevation(base.elevation, own.elevation)
    for name in base.fences.__struct_fields__:
        if getattr(base.fences, name) is FenceMode.REFUSE and getattr(own.fences, name) is not FenceMode.REFUSE:
            yield f"fences.{name}", f"{base.name} refuses"
    if base.slots.at_once and not 0 < own.slots.at_once <= base.slots.at_once:
        yield "slots.at_once", f"{own.slots.at_once} where {base.name} has {base.slots.at_once}"
    if own.observe and not base.observe:
        yield "mode", f"observe where {base.name} enforces"


def _numbers(base: Policy, own: Policy) -> Iterator[tuple[str, str]]:
    for where in ("limits", "ceilings"):
        before, after = getattr(base, where), getattr(own, where)
        for name in LIMIT_NAMES:
            was, now = getattr(before, name), getattr(after, name)
            if now < was if name in FLOORS else now > was:
                yield f"{where}.{name}", f"{now:,.15g} where {base.name} has {was:,.15g}"
    tightest = tightest_gates(base.gates, own.gates)
    for gate in fields(Gates):
        now = getattr(own.gates, gate.name)
        if now != getattr(tightest, gate.name):
            yield f"gates.{gate.name}", f"{now:g} where {base.name} has {getattr(base.gates, gate.name):g}"
    for name in base.transactions.__struct_fields__:
        was, now = getattr(base.transactions, name), getattr(own.transactions, name)
        if now > was:
            yield f"transactions.{name}", f"{now:g} where {base.name} has {was:g}"


def _elevation(base: ElevationSettings, own: ElevationSettings) -> Iterator[tuple[str, str]]:
    for name in ("window_seconds", "max_window_seconds"):
        was, now = getattr(base, name), getattr(own, name)
        if now > was:
            yield f"elevation.{name}", f"{now:g} where it was {was:g}"
    for name in ("ticket_required", "notice_required"):
        if getattr(base, name) and not getattr(own, name):
            yield f"elevation.{name}", "no longer required"
    if own.approval_may_be_skipped and not base.approval_may_be_skipped:
        yield "elevation.approval_may_be_skipped", "it may be skipped"
    if missing := set(base.two_persons) - set(own.two_persons):
        yield "elevation.two_persons", f"without {', '.join(sorted(missing))}"
    for environment, kinds in own.agents_may_elevate.items():
        if more := set(kinds) - set(base.agents_may_elevate.get(environment, ())):
            yield "elevation.agents_may_elevate", f"also {', '.join(sorted(more))} in {environment}"


def literals_loosened(base: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Whether the journal would keep more of statements' literals, by two documents."""
    before, after = (_LITERALS.index(each.get("literals", "keep")) for each in (base, own))
    named, now = base.get("literals_of", {}), own.get("literals_of", {})
    return after < before or any(_LITERALS.index(now[name]) < _LITERALS.index(word) for name, word in named.items())
