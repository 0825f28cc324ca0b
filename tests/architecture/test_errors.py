"""Errors are immutable values, and the core leaves the words of a face to that face."""

import ast
import copy
import pickle
import re
from pathlib import Path

import pytest

from safeconsole import errors
from safeconsole.cli.application import EXIT_CODES, exit_code_of
from safeconsole.cli.sql import one_shot_words
from safeconsole.console.state import words as console_words
from safeconsole.errors import Action, Remedy, SafeConsoleError, ServerError, StoppedError
from safeconsole.output.evidence import error_text
from safeconsole.python.tracebacks import words as python_words

PACKAGE = Path(__file__).parents[2] / "safeconsole"
FACES = {"cli", "console", "python", "web", "output", "demo"}
CORE = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in FACES)
FACE_WORDS = re.compile(
    r"(?<![\w-])--(to|timeout|max-rows|max-bytes|schema|reason|ticket|confirm|approval)\b"
    r"|\\(use|once|elevate|stand-down|timeout|rows|bytes|topology|why|capacity|export|watch|format)\b"
    r"|with elevate\("
)
KINDS = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SafeConsoleError)),
    key=lambda kind: kind.__name__,
)


def made(kind):
    if kind is ServerError:
        return ServerError(1064, "syntax")
    return kind("no", by="person") if issubclass(kind, StoppedError) else kind("no", evidence=("a: b",))


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_does_not_change_after_it_was_made(kind):
    error = made(kind)
    for name in (*vars(error), "args", "anything"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(error, name, "changed")
        with pytest.raises(AttributeError, match="immutable"):
            delattr(error, name)
    assert str(error) == error.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_equal_in_everything_and_a_replaced_one_leaves_the_first_alone(kind):
    error = made(kind)
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 (what was just written)
        assert type(twin) is kind
        assert (vars(twin), twin.args) == (vars(error), error.args)
    other = error.replaced(message="yes", instead="later")
    assert (type(other), str(other), other.message, other.instead) == (kind, "yes", "yes", "later")
    assert error.message != "yes"
    assert other.__traceback__ is None


def test_python_keeps_its_own_part_of_an_error():
    with pytest.raises(StoppedError) as caught:
        try:
            raise ServerError(1, "x")
        except ServerError as error:
            raise made(StoppedError) from error
    assert isinstance(caught.value.__cause__, ServerError)
    caught.value.add_note("seen")
    assert caught.value.__notes__ == ["seen"]


def test_every_kind_has_a_code_of_its_own_and_an_exit_code():
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code) for kind in KINDS)
    assert {kind.__name__: exit_code_of(made(kind)) for kind in KINDS} == {
        "AuditUnavailableError": 7,
        "ConfigurationError": 2,
        "DeniedError": 4,
        "LostError": 5,
        "NoFitNodeError": 8,
        "NotRecordedError": 7,
        "NotSentError": 3,
        "OutcomeUnknownError": 6,
        "PolicyInvalidError": 2,
        "RefusedError": 3,
        "SafeConsoleError": 2,
        "ServerError": 1,
        "StoppedError": 5,
        "UnreachableError": 8,
        "CrowdedError": 8,
    }
    assert set(EXIT_CODES) <= set(KINDS)


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_core_says_nothing_in_the_words_of_a_face(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            texts[node.lineno] = "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            texts[node.lineno] = node.value
    # A whole command of the program is the same in every face.
    assert not {at: text for at, text in texts.items() if "safeconsole " not in text and FACE_WORDS.search(text)}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nobody_asks_for_the_exact_type_of_an_error(path):
    compared = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and any(isinstance(op, ast.Is | ast.IsNot | ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops)
        and isinstance(node.left, ast.Call)
        and isinstance(node.left.func, ast.Name)
        and node.left.func.id == "type"
        and any("Error" in ast.unparse(other) for other in node.comparators)
    ]
    assert not compared


@pytest.mark.parametrize(
    ("words", "foreign"),
    [
        (one_shot_words, r"\\\w|with elevate"),
        (console_words, r"--\w|with elevate"),
        (python_words, r"\\\w"),
    ],
)
def test_a_face_words_every_remedy_in_its_own_terms(words, foreign):
    for action in Action:
        for limit in ("run_seconds", "fetched_rows", "fetched_bytes", "opened_tables"):
            error = SafeConsoleError("no", remedies=(Remedy(action, of=limit, most=5),))
            assert not re.search(foreign, error_text(error, words=words))
    node = error_text(SafeConsoleError("no", instead="wait", remedies=(Remedy(Action.NAME_NODE),)), words=words)
    assert "  instead: wait\n  or: name one with " in node
