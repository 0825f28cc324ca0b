"""Objects shared by all sessions of a process: created by the first, closed by the last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import msgspec

from safeconsole.cluster.engine import Engine

Made = TypeVar("Made", bound=Engine)


class _Use(msgspec.Struct, eq=False):
    name: str
    made_of: object
    made: Engine
    users: int = 0


class Shared(Generic[Made]):
    """Shared objects by name; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses: list[_Use] = []

    @contextmanager
    def used(self, name: str, made_of: object, make: Callable[[], Made]) -> Iterator[Made]:
        """Use the shared object of a name, created if there is none.

        Args:
            made_of: its settings; made of others, as after a change of the configuration, it is another.
            make: makes it; MUST wait for nothing, since all who come meanwhile wait.
        """
        with self._lock:
            use = next((each for each in self._uses if each.name == name and each.made_of == made_of), None)
            if use is None:
                use = _Use(name=name, made_of=made_of, made=make())
                self._uses.append(use)
            use.users += 1
        try:
            yield use.made  # type: ignore[misc]
        finally:
            with self._lock:
                use.users -= 1
                is_last = not use.users
                if is_last:
                    self._uses.remove(use)
            if is_last:
                use.made.close()
