"""A state machine is a table: what is not in it cannot happen."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


def followed(table: Mapping[tuple[State, Event], State], state: State, event: Event, *, what: str) -> State:
    """
    Return the state after an event.

    Args:
        what: whose state it is, with its article, for the message.

    Raises:
        ValueError: the event cannot happen in that state.
    """
    try:
        return table[state, event]
    except KeyError:
        raise ValueError(f"{what} that is {state} cannot meet {event}") from None
