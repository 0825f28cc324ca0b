"""Admission: slots for heavy statements, and the rate of statements per minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Connection
from safeconsole.errors import Action, NoFitNodeError, Remedy
from safeconsole.policy.decision import Assessment
from safeconsole.policy.policy import Policy
from safeconsole.session.result import Progress
from safeconsole.sqltext.vocabulary import NodeName

MINUTE_SECONDS = 60


class Rate:
    """Counts by whole seconds: a quick loop of a minute is sixty numbers, not sixty thousand."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: deque[list[int]] = deque()
        self._total = 0

    def sent(self) -> None:
        second = int(self._clock.monotonic())
        if self._counts and self._counts[-1][0] == second:
            self._counts[-1][1] += 1
        else:
            self._counts.append([second, 1])
        self._total += 1

    def read(self) -> tuple[int, float]:
        """Return the statements of the last minute, and the seconds until the oldest one leaves it."""
        now = self._clock.monotonic()
        while self._counts and int(now) - self._counts[0][0] >= MINUTE_SECONDS:
            self._total -= self._counts.popleft()[1]
        room_seconds = self._counts[0][0] + MINUTE_SECONDS - now if self._counts else 0.0
        return self._total, round(max(room_seconds, 0.0), 1)


LOOK_SECONDS = 1.0
"""Time between two progress messages to a person who waits."""


class SlotQueue:
    """One session's slots, and its waiting for them, which is shown, bounded, and left with Ctrl-C.

    The slots are the server's own named locks, so that consoles that know nothing of each other count together; the
    policy's `Slots` says what is heavy.

    Attributes:
        waited: whether the last statement had to wait for its slot.
    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._slots = policy.slots
        # A policy that only observes stops nothing, and so keeps nobody waiting.
        self._counts = bool(policy.slots.at_once) and not policy.observe
        self._clock = clock
        self._holding: Connection | None = None
        self.waited = False

    def are_for(self, considered: Assessment) -> bool:
        """Whether a statement may be sent only with a slot."""
        return self._counts and considered.heavy

    def take(self, node: NodeName, connection: Connection, progress: Progress) -> Iterator[str]:
        """Wait for a slot on a connection for the next statement; yield the records to write.

        Raises:
            NoFitNodeError: no slot came free in time.
            RefusedError, UnreachableError: as `Connection.take_slot`.
        """
        self.waited = False
        if not connection.has_slots:
            yield f"{node} has no slots, so that it is not counted"
            return
        self._holding = connection
        names, most = self._slots.names, self._slots.wait_seconds
        started, within = self._clock.monotonic(), 0.0
        while not (name := connection.take_slot(names, within_seconds=within)):
            waited = self._clock.monotonic() - started
            if waited >= most:
                raise NoFitNodeError(
                    f"{node} already runs {len(names)} heavy statement{'s'[: len(names) != 1]}, the policy's maximum;"
                    f" none ended within {most:g} s, and nothing was sent",
                    evidence=connection.slot_holders(names),
                    instead="make it lighter, try again later, or use another node",
                    remedies=(Remedy(Action.NAME_NODE),),
                )
            if not self.waited:
                yield f"waits for one of {len(names)} slots on {node}"
            self.waited = True
            progress(f"waits for one of {len(names)} slots on {node}: {waited:.0f} of {most:g} s; Ctrl-C leaves")
            within = min(LOOK_SECONDS, most - waited)
        waited = self._clock.monotonic() - started
        yield f"{name} on {node}, {f'waited {waited:.1f} s' if self.waited else 'at once'}"

    def leave(self) -> None:
        """Free what is held; never raises."""
        holding, self._holding = self._holding, None
        if holding is not None:
            holding.free_slot()
