"""
One attack, one file: every file under tests/cases says in its first line what it must be found to be.

`-- verdict | to: where | flavours: … | effects: … | hazards: … | mode: … | why: …`. The folder is the
verdict of the baseline policy; here effects and dangers are held, the policy's tests hold the verdict.
"""

from pathlib import Path

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules, TokenKind, tokens
from safeconsole.policy.limits import Limits
from safeconsole.sqltext.vocabulary import Flavour

CASES = Path(__file__).parents[1] / "cases"
FOLDERS = {"allow": "allowed", "confirm": "confirmed", "elevate": "elevated", "deny": "denied"}
VERSIONS = {"mysql": 90704, "mariadb": 101119, "aurora-mysql": 80039, "sqlite": 0}


def read_case(path):
    first, _, text = path.read_text(encoding="utf-8").partition("\n")
    verdict, *fields = first.removeprefix("-- ").split(" | ")
    values = dict(field.split(": ", 1) for field in fields)
    lists = {
        name: [word.strip() for word in values.get(name, "").split(",") if word.strip()]
        for name in ("flavours", "effects", "hazards", "mode")
    }
    return verdict, lists, values["why"], text.removesuffix("\n")


FILES = sorted(CASES.rglob("*.sql"))


def cases():
    for path in FILES:
        _, lists, _, _ = read_case(path)
        for flavour in lists["flavours"]:
            yield pytest.param(path, flavour, id=f"{path.stem}-{flavour}")


@pytest.mark.parametrize("path, flavour", list(cases()))
def test_a_case_has_the_effects_and_dangers_its_first_line_says(path, flavour):
    _, lists, _, text = read_case(path)
    modes = dict.fromkeys(lists["mode"], True)
    rules = LexicalRules(dialect=DIALECTS[Flavour(flavour)], version=VERSIONS[flavour], **modes)
    statements = analyse(text, rules, schema="shop")
    effects = {effect.value for statement in statements for effect in statement.effects}
    hazards = {hazard.id for statement in statements for hazard in statement.hazards}
    asks = [ask for statement in statements for ask in statement.asks]
    hazards |= {ask.lifts for ask in asks if ask.value > getattr(Limits(), ask.limit)}
    assert effects == set(lists["effects"])
    assert hazards == set(lists["hazards"]) - {"none"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_case_lies_in_the_folder_of_its_verdict_and_says_why(path):
    verdict, lists, why, text = read_case(path)
    assert path.parent.name == FOLDERS[verdict]
    assert why
    assert text
    assert lists["flavours"]


def test_there_are_sixty_reads_that_people_type():
    assert len(list((CASES / "allowed").glob("*.sql"))) >= 60


def test_no_attack_is_a_plain_read_without_a_danger():
    for path in FILES:
        verdict, lists, _, _ = read_case(path)
        if verdict != "allow":
            assert set(lists["effects"]) - {"read", "session"} or lists["hazards"] != ["none"], path.name


def changed_case(token):
    return token.text.swapcase() if token.kind is TokenKind.WORD and token.text.isascii() else token.text


def with_comment(token):
    return " /* x */ -- y\n" if token.kind is TokenKind.SPACE else token.text


def with_comment_like_a_hint(token):
    """A hint stands right after SELECT and its like; anywhere else it is a comment, and here it names no hint."""
    return token.text if token.kind is TokenKind.SPACE else f"{token.text} /*+ x */ "


@pytest.mark.parametrize("change", [changed_case, with_comment, with_comment_like_a_hint])
@pytest.mark.parametrize("path, flavour", list(cases()))
def test_case_and_comments_change_no_case(path, flavour, change):
    _, lists, _, text = read_case(path)
    if "/*!" in text or "/*M" in text or "DELIMITER" in text or "--" in text:
        pytest.skip("where a comment or a line begins is the point of this case")
    if change is with_comment_like_a_hint and ("/*" in text or "unreadable" in lists["hazards"]):
        pytest.skip("a hint or the place of its characters is the point of this case")
    rules = LexicalRules(
        dialect=DIALECTS[Flavour(flavour)], version=VERSIONS[flavour], **dict.fromkeys(lists["mode"], True)
    )
    altered = "".join(change(token) for token in tokens(text, rules))
    before, after = (
        [
            (statement.kind, statement.effects, [hazard.id for hazard in statement.hazards])
            for statement in analyse(version, rules, schema="shop")
        ]
        for version in (text, altered)
    )
    assert after == before
