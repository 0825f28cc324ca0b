"""Several processes of one gateway: a parent forks them, replaces one that died, and ends them together.

The parent runs no thread and opens nothing but the listeners, so that a fork copies nothing that is half done. A worker
sees the end of a pipe when it is to end, also where its parent was killed.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import msgspec
from msgspec.structs import replace

from safeconsole.config.settings import GatewaySettings

MOST_WORKERS = 8
"""Each holds up to two connections for statements and two that control, an account and node, however many they are."""

MOST_DEATHS, WITHIN_SECONDS = 5, 60.0
"""Where more workers than this die within that time, what ends them is not mended by another one."""

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One of the processes that serve together.

    Attributes:
        count: how many they are.
        directory: of the files that they share.
        lifeline: a descriptor that is readable once the worker is to end.
        served: what the first one measured of the cluster, empty for that one.
        died: the process that it replaces, or 0.
        ready: a descriptor that the parent reads from until it is ready.
    """

    count: int
    directory: str
    lifeline: int
    served: bytes
    died: int
    ready: int

    @property
    def inventory(self) -> str:
        """The file in which it writes down its connections."""
        return _inventory(self.directory, os.getpid())

    @property
    def counts(self) -> str:
        """The directory of what all of them count."""
        return f"{self.directory}/counts"

    @property
    def abandoned(self) -> str:
        """The same of the process that it replaces."""
        return _inventory(self.directory, self.died)

    def say_ready(self, served: bytes) -> None:
        """Tell the parent that clients are served, and what the cluster is."""
        with suppress(BrokenPipeError):
            os.write(self.ready, served)
        os.close(self.ready)

    def share_of(self, settings: GatewaySettings) -> GatewaySettings:
        """Return what of all that they let in this one does."""
        return replace(
            settings,
            clients=max(settings.clients // self.count, 1),
            clients_a_person=-(-settings.clients_a_person // self.count),
        )


def _inventory(directory: str, process: int) -> str:
    return f"{directory}/connections-{process}.json"


class Supervisor:
    """The parent of the workers.

    Args:
        count: how many workers, at least 2.
        directory: of the files that they share.
        ready: called when all serve.
        ending: called before they end.
        died: called with a worker's process id when it died.
    """

    def __init__(
        self,
        count: int,
        directory: str,
        *,
        ready: Callable[[], None],
        ending: Callable[[], None],
        died: Callable[[int], None],
    ) -> None:
        self._count, self._directory = count, directory
        self._say_ready, self._ending, self._died = ready, ending, died
        self._running: set[int] = set()
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        self._exit_code = 0
        self._lifeline, self._held = os.pipe()
        self._ready = -1

    def run(self) -> Worker | int:
        """Fork the workers and stay with them.

        Returns:
            In each new process what it is; in the parent, once all are over, an exit code.
        """
        with signals_told(*ENDING, signal.SIGCHLD) as told:
            served = b""
            for _ in range(self._count):
                worker = self._forked(served=served)
                if worker is not None:
                    return worker
                heard = self._heard(told)
                if not heard:
                    # It said itself what is wrong.
                    return self._ended()
                served = served or heard
            self._say_ready()
            return self._attend(told, served)

    def _attend(self, told: int, served: bytes) -> Worker | int:
        while True:
            for process in self._reaped():
                now = time.monotonic()
                if len(self._deaths) == MOST_DEATHS and now - self._deaths[0] < WITHIN_SECONDS:
                    sys.stderr.write(f"safeconsole: {MOST_DEATHS + 1} workers died within a minute: gives up\n")
                    self._exit_code = 1
                    return self._ended()
                self._deaths.append(now)
                self._died(process)
                worker = self._forked(served=served, died=process)
                if worker is not None:
                    return worker
                os.close(self._ready)
            if _tells_to_end(told):
                return self._ended()

    def _forked(self, *, served: bytes, died: int = 0) -> Worker | None:
        self._ready, ready = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if process:
            os.close(ready)
            self._running.add(process)
            return None
        os.close(self._ready)
        os.close(self._held)
        return Worker(
            count=self._count,
            directory=self._directory,
            lifeline=self._lifeline,
            served=served,
            died=died,
            ready=ready,
        )

    def _heard(self, told: int) -> bytes:
        """Wait until the worker that was forked last serves; return nothing where it ended, or all are to end."""
        waiting, found = select.poll(), b""
        for descriptor in (told, self._ready):
            waiting.register(descriptor, select.POLLIN)
        try:
            while True:
                ready = [descriptor for descriptor, _ in waiting.poll()]
                if told in ready and _tells_to_end(told):
                    return b""
                if self._ready in ready:
                    part = os.read(self._ready, 65_536)
                    if not part:
                        return found
                    found += part
        finally:
            os.close(self._ready)

    def _reaped(self) -> Iterator[int]:
        for process in tuple(self._running):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                self._running.discard(process)
                code = os.waitstatus_to_exitcode(status)
                how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                sys.stderr.write(f"safeconsole: worker {process} {how}; another takes its place\n")
                yield process

    def _ended(self) -> int:
        """Let the workers drain, wait for them, and return an exit code."""
        self._ending()
        os.close(self._held)
        for process in tuple(self._running):
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            self._exit_code = self._exit_code or max(code, 0) or int(code < 0)
        self._running.clear()
        os.close(self._lifeline)
        return self._exit_code


def _tells_to_end(told: int) -> bool:
    """Wait for signals; return whether one of them tells to end."""
    return not set(os.read(told, 4096)).isdisjoint(ENDING)


@contextmanager
def signals_told(*numbers: signal.Signals) -> Iterator[int]:
    """Yield a descriptor from which the numbers of signals are read; the process goes on."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def note(_number: int, _frame: FrameType | None) -> None:
        """Do nothing: the descriptor was written to before."""

    # A signal may come to any thread, and Python's handler waits for the main one, which waits for this descriptor.
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
