"""Places for parameters."""

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.python.dbapi import ProgrammingError
from safeconsole.python.dbapi import Places, fill

MYSQL = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90_704)
SQLITE = LexicalRules(dialect=DIALECTS[Flavour.SQLITE])


def filled(text, parameters, places=Places.FORMAT, rules=MYSQL):
    return fill(text, parameters, rules, places)


def test_places_are_filled_in_order_or_by_name():
    assert filled("a = %s AND b = %s", [1, "x"]) == "a = 1 AND b = 'x'"
    assert filled("a = %(x)s OR b = %(x)s", {"x": 1, "unused": 2}) == "a = 1 OR b = 1"


def test_without_parameters_a_text_is_left_alone():
    assert filled("a LIKE '%s%%' % 2", None) == "a LIKE '%s%%' % 2"


@pytest.mark.parametrize("parameters", [(), [], {}])
@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a LIKE 'x%'", "a LIKE 'x%'"),
        ("DATE_FORMAT(d, '%Y-%m-%d %s')", "DATE_FORMAT(d, '%Y-%m-%d %s')"),
        ("a % 2 = 0 -- 100%", "a % 2 = 0 -- 100%"),
        ("a LIKE '%some' AND b LIKE 'x%%'", "a LIKE '%some' AND b LIKE 'x%%'"),
        ("a LIKE 'x%%' AND b %% 2", "a LIKE 'x%' AND b % 2"),
        ("a = 1", "a = 1"),
    ],
)
def test_without_a_value_a_percent_sign_needs_no_doubling(text, parameters, result):
    assert filled(text, parameters) == result


@pytest.mark.parametrize("text", ["a = %s", "a LIKE 'x%' AND b = %s", "a = %(x)s AND b LIKE 'x%'"])
def test_a_place_without_its_value_is_an_error_beside_a_percent_sign_too(text):
    with pytest.raises(ProgrammingError):
        filled(text, ())


def test_a_doubled_percent_sign_is_one_inside_quotes_too():
    assert filled("a LIKE '%%x' AND b %% 2 = %s", (1,)) == "a LIKE '%x' AND b % 2 = 1"


@pytest.mark.parametrize(
    ("text", "parameters", "result"),
    [
        ("x-%s", [-5], "x- -5"),  # not the start of a comment
        ("x%s", ["41"], "x '41'"),  # not a hexadecimal literal
        ("%s%s", ["a", "b"], "'a' 'b'"),  # not one text with a quote in it
        ("%s'x'", ["a"], "'a' 'x'"),
        ("LIMIT%s", [5], "LIMIT 5"),
        ("/%s", [5], "/ 5"),
        ("@%s", ["sql_mode"], "@ 'sql_mode'"),
    ],
)
def test_a_value_never_grows_together_with_what_stands_beside_it(text, parameters, result):
    assert filled(text, parameters) == result


@pytest.mark.parametrize(
    "text", ["a = '%s'", 'a = "%s"', "a = `%s`", "a = 1 -- %s\n", "a = 1 /* %s */", "a = '%(x)s'", "# %s\n"]
)
def test_a_place_inside_quotes_or_a_comment_is_an_error(text):
    with pytest.raises(ProgrammingError, match="inside quotes or a comment"):
        filled(text, {"x": 1} if "(x)" in text else ["1"])


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("%s", []),
        ("%s", [1, 2]),
        ("1", [1]),
        ("%(a)s", {"b": 1}),
        ("%(a)s", [1]),
        ("%s", {"a": 1}),
        ("%s, %(a)s", {"a": 1}),
        ("%d", [1]),
        ("%s", "x"),
    ],
)
def test_places_and_parameters_that_do_not_fit_are_an_error(text, parameters):
    with pytest.raises(ProgrammingError):
        filled(text, parameters)


@pytest.mark.parametrize("value", [3, 2.5, "three", b"three"])
def test_one_value_alone_is_told_to_go_into_a_list(value):
    with pytest.raises(ProgrammingError, match="not one value: put it into"):
        filled("SELECT %s", value)


def test_marks_are_places_only_outside_quotes():
    assert filled("a = ? AND b = '?' AND c % 2 = ?", (1, 2), Places.MARKS, SQLITE) == "a = 1 AND b = '?' AND c % 2 = 2"


def test_a_value_that_looks_like_a_place_is_a_value():
    assert filled("%s, %s", ["%s", "?"]) == "'%s', '?'"
