"""One policy rule: a condition over facts, type-checked when it is read, and judged without raising.

Conditions are CEL (Common Expression Language). Every fact is declared under its dotted name, so a misspelt fact or a
comparison of two types is an error at load, never a rule that does not match.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from functools import cache

import msgspec
from cel_expr_python import cel

from safeconsole.patterns import late
from safeconsole.policy.facts import FACTS, Fact, FactType
from safeconsole.policy.readings import COUNTED_TABLES
from safeconsole.policy.watchdog import SensorName
from safeconsole.sqltext.vocabulary import Verdict


class Match(Enum):
    """The result of a condition; FAILED is never a no."""

    YES = "yes"
    NO = "no"
    FAILED = "failed"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of a policy.

    Attributes:
        id: kebab-case, unique in the policy.
        condition: `when`, compiled by `compile_condition`.
        then: its verdict, or None for a rule that only tightens limits or names sensors.
        limits: ceilings it tightens, by name.
        sensors: what must be readable while the statement runs.
        brake: an elevation that covers the statement is not enough: the person is asked once more.
        message: one line for the person; `{fact}` stands for that fact's value.
        instead: a safer way, or ""; facts as in `message`.
        line: its line in the file, from 1; 0 when unknown.
        policy: the policy that it was taken over from, "" for the one's own.
    """

    id: str
    when: str
    condition: cel.Expression
    then: Verdict | None = None
    limits: Mapping[str, float] = msgspec.field(default_factory=dict)
    sensors: tuple[SensorName, ...] = ()
    brake: bool = False
    message: str = ""
    instead: str = ""
    line: int = 0
    policy: str = ""

    @property
    def says(self) -> str:
        """The rule's verdict, or its effect if it has none."""
        if self.then is not None:
            return self.then.word
        if self.brake:
            return "asks once more, elevated"
        named = (("limits", self.limits), ("sensors", self.sensors))
        return f"{' and '.join(word for word, given in named if given)} only"


def compile_condition(when: str) -> cel.Expression:
    """Return a condition, type-checked against `FACTS`.

    Raises:
        ValueError: an unknown fact or word, a wrong type, a syntax error, a result that is not a bool, more tables than
            are counted; one line.
    """
    try:
        condition = _environment().compile(when)
    except Exception as error:  # noqa: BLE001 - the library raises RuntimeError today, and does not promise it
        raise ValueError(_complaint(str(error))) from None
    if condition.return_type() != cel.Type.BOOL:
        raise ValueError(f"a condition must be true or false, this one is {condition.return_type()}")
    strange = _strange_words(when)
    if strange:
        raise ValueError(
            f"{strange[0]} compares with '{strange[1]}', which it never is{_guess(strange[1], strange[2])}"
        )
    if any(int(number) > COUNTED_TABLES for pair in _TABLES_COMPARED.findall(when) for number in pair if number):
        raise ValueError(f"tables are counted up to {COUNTED_TABLES}: compare node.tables with less")
    return condition


def offered(facts: Mapping[str, object]) -> cel.Activation:
    """Return facts in the form that conditions take; made once for all rules, since it costs more than judging."""
    return _environment().Activation(dict(facts))


def match(condition: cel.Expression, facts: cel.Activation) -> tuple[Match, str]:
    """Judge a condition on facts from `offered`; the text says why when it FAILED, else it is empty."""
    try:
        value = condition.eval(facts)
        outcome = value.plain_value() if value.type() == cel.Type.BOOL else None
    except Exception as error:  # noqa: BLE001 - whatever the library raises, the rule has failed
        return Match.FAILED, str(error)
    if outcome is True:
        return Match.YES, ""
    if outcome is False:
        return Match.NO, ""
    return Match.FAILED, str(value.value())


def facts_named(text: str) -> tuple[str, ...]:
    """Return the facts that a condition names, outside its quoted words, each once."""
    return tuple(dict.fromkeys(name for name in _NAME.findall(_QUOTED.sub("''", text)) if name in FACTS))


def filled(text: str, facts: Mapping[str, object]) -> str:
    """Return a message with facts in their places; ` of {fact}` is left out where the fact is empty."""
    text = _OF_PLACE.sub(lambda found: found[0] if _shown(facts.get(found[1], "?")) else "", text)
    return _PLACE.sub(lambda found: _shown(facts.get(found[1], "?")), text)


def unknown_places(text: str) -> tuple[str, ...]:
    return tuple(name for name in _PLACE.findall(text) if name not in FACTS)


_TYPES = {
    FactType.STRING: cel.Type.STRING,
    FactType.BOOL: cel.Type.BOOL,
    FactType.INT: cel.Type.INT,
    FactType.DOUBLE: cel.Type.DOUBLE,
    FactType.STRINGS: cel.Type.List(cel.Type.STRING),
}
_NAME = late(r"\b[a-z]+\.[a-z_]+\b")
_QUOTED = late(r"'([^'\\]*)'|\"([^\"\\]*)\"")
_PLACE = late(r"\{([^{}]*)\}")
_OF_PLACE = late(r" of \{([^{}]*)\}")
_PARTIAL = late(r"\.(?:startsWith|endsWith|contains|matches)\s*\(|\+")
_TABLES_COMPARED = late(r"\bnode\.tables\s*[<>=!]=?\s*(\d+)|(\d+)\s*[<>=!]=?\s*node\.tables\b")
_UNDECLARED = late(r"undeclared reference to '([^']+)'")


@cache
def _environment() -> cel.Env:
    return cel.NewEnv(variables={name: _TYPES[fact.type] for name, fact in FACTS.items()})


def _complaint(error: str) -> str:
    undeclared = _UNDECLARED.search(error)
    if undeclared:
        return f"unknown fact '{undeclared[1]}'{_guess(undeclared[1], tuple(FACTS))}"
    first = error.strip().splitlines()[0] if error.strip() else "it cannot be read"
    return re.sub(r"^[A-Z_]+: (?:ERROR: <input>:)?", "", first).removesuffix("]").rsplit(" [", 1)[0]


def _guess(word: str, words: tuple[str, ...]) -> str:
    # Imported here: a condition that is right needs none of it.
    import difflib  # noqa: PLC0415

    close = difflib.get_close_matches(word, words, n=1)
    return f"; perhaps '{close[0]}'" if close else ""


def _strange_words(when: str) -> tuple[str, str, tuple[str, ...]] | None:
    named = [FACTS[name] for name in facts_named(when) if FACTS[name].type in {FactType.STRING, FactType.STRINGS}]
    if not named or not all(fact.words for fact in named) or _PARTIAL.search(when):
        return None
    words = tuple(word for fact in named for word in fact.words)
    for single, double in _QUOTED.findall(when):
        if (single or double) not in words and (single or double):
            return _nearest(named, single or double).name, single or double, words
    return None


def _nearest(facts: list[Fact], word: str) -> Fact:
    import difflib  # noqa: PLC0415

    return max(facts, key=lambda fact: max(difflib.SequenceMatcher(None, word, known).ratio() for known in fact.words))


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if type(value) is int else str(value)
