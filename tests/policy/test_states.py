"""What is not in a table of states cannot happen."""

from enum import StrEnum

import pytest

from safeconsole.policy.watchdog import followed


class Light(StrEnum):
    """Two of them."""

    RED = "red"
    GREEN = "green"


class Word(StrEnum):
    """What is said to it."""

    GO = "go"


TABLE = {(Light.RED, Word.GO): Light.GREEN}


def test_the_table_says_what_comes_next():
    assert followed(TABLE, Light.RED, Word.GO, what="a light") is Light.GREEN


def test_what_is_not_in_it_cannot_happen():
    with pytest.raises(ValueError, match="^a light that is green cannot meet go$") as refused:
        followed(TABLE, Light.GREEN, Word.GO, what="a light")
    assert refused.value.__cause__ is None
