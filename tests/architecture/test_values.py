"""The program's own `dataclass` does what the standard library's does."""

import copy
import dataclasses
import pickle
from typing import Any

import pytest
from safeconsole import values

OPTIONS = [
    dict(frozen=True, slots=True, kw_only=True),
    dict(slots=True, kw_only=True),
    dict(slots=True),
    dict(slots=True, kw_only=True, eq=False),
]


def planted(make: Any, **options: Any) -> Any:
    class Value:
        """What is compared."""

        name: str
        count: int = 3
        parts: list[str] = dataclasses.field(default_factory=list)
        hidden: str = dataclasses.field(default="", repr=False, compare=False)
        seen: list[str] = dataclasses.field(init=False, compare=False, default_factory=list)
        state: str = dataclasses.field(init=False, default="new")
        length: int = dataclasses.field(init=False)

        def __post_init__(self) -> None:
            if not self.count >= 0:
                raise ValueError("below zero")
            object.__setattr__(self, "length", len(self.name))

        @property
        def doubled(self) -> int:
            """Twice the count."""
            return self.count * 2

    return make(**options)(Value)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_value_behaves_as_the_standard_librarys(options):
    ours, theirs = planted(values.dataclass, **options), planted(dataclasses.dataclass, **options)
    one, other = ours(name="a", parts=["x"]), theirs(name="a", parts=["x"])
    assert repr(one) == repr(other).replace("theirs", "ours")
    assert dataclasses.asdict(one) == dataclasses.asdict(other)
    assert [field.name for field in dataclasses.fields(one)] == [field.name for field in dataclasses.fields(other)]
    assert (one == ours(name="a", parts=["x"], hidden="h")) is (other == theirs(name="a", parts=["x"], hidden="h"))
    assert (one == ours(name="b")) is (other == theirs(name="b"))
    assert (one == other) is False
    assert (one.state, one.length, ours(name="a").seen is one.seen) == ("new", 1, False)
    assert (one.doubled, one.count, ours(name="a").parts is ours(name="a").parts) == (6, 3, False)
    assert dataclasses.replace(one, name="c").name == "c"
    assert hasattr(one, "__dict__") is hasattr(other, "__dict__") is False
    assert ours.__slots__ == theirs.__slots__
    assert ours.__match_args__ == theirs.__match_args__
    assert (ours.__hash__ is None) is (theirs.__hash__ is None)
    assert ours.__doc__ == theirs.__doc__
    assert copy.deepcopy(one).parts == ["x"]
    with pytest.raises(ValueError):
        ours(name="a", count=float("nan"))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("given", [{}, {"name": "a", "nmae": "b"}], ids=["too little", "misspelt"])
def test_what_the_standard_library_refuses_is_refused(options, given):
    for make in (values.dataclass, dataclasses.dataclass):
        with pytest.raises(TypeError):
            planted(make, **options)(**given)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_positions_are_taken_where_the_standard_library_takes_them(options):
    def outcome(make):
        try:
            return planted(make, **options)("a", 1).count
        except TypeError:
            return "refused"

    assert outcome(values.dataclass) == outcome(dataclasses.dataclass)


def test_a_frozen_value_changes_in_no_way():
    value = planted(values.dataclass, **OPTIONS[0])(name="a")
    for change in (
        lambda: setattr(value, "name", "b"),
        lambda: delattr(value, "name"),
        lambda: setattr(value, "nmae", "b"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()
    assert value.name == "a"


def test_a_hash_follows_from_what_is_compared():
    make = planted(values.dataclass, **OPTIONS[0])
    one, same, other = (make(name=name, parts=(), hidden=hidden) for name, hidden in (("a", ""), ("a", "h"), ("b", "")))
    assert len({one, same, other}) == 2


@values.dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A value that another process reads."""

    name: str


def test_a_value_survives_a_pickle():
    assert pickle.loads(pickle.dumps(Kept(name="a"))) == Kept(name="a")


def test_a_class_keeps_what_it_says_itself():
    class Value:
        """With words of its own."""

        secret: str

        def __repr__(self) -> str:
            return "Value(…)"

    assert repr(values.dataclass(frozen=True, slots=True, kw_only=True)(Value)(secret="x")) == "Value(…)"


def test_a_class_without_slots_or_with_inherited_fields_is_refused():
    class Value:
        name: str

    with pytest.raises(TypeError):
        values.dataclass(slots=False)(Value)

    class Heir(Kept):
        other: str

    with pytest.raises(TypeError):
        values.dataclass(frozen=True, slots=True, kw_only=True)(Heir)


def test_a_start_makes_no_method_before_it_is_needed():
    made = planted(values.dataclass, **OPTIONS[0])
    first = made.__init__
    made(name="a")
    assert made.__init__ is not first
    made(name="b")
    assert made.__init__.__code__.co_argcount + made.__init__.__code__.co_kwonlyargcount == 5
