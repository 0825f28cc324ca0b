"""One agent's session in a thread of its own: calls are queued, and a cancelled one is stopped."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from typing import Any, TypeVar

import msgspec

from safeconsole.capacity.asking import Progress
from safeconsole.cluster.engine import stop_insistently
from safeconsole.errors import RefusedError
from safeconsole.mcp.answers import Saving
from safeconsole.policy.decision import Assessment
from safeconsole.policy.watchdog import Sample
from safeconsole.session.session import Session
from safeconsole.sqltext.lexer import LexicalRules

Value = TypeVar("Value")

TOLD_EVERY_SECONDS = 1.0

Sizes = tuple[list[dict[str, Any]], Assessment | None]
"""Rows of tables, the largest first, and what was considered for the last question behind them."""

Report = Callable[[float, float | None, str], Awaitable[None]]
"""Tells a client how far its call is: a number that grows, the number it grows to where that is known, and words."""


class Headway:
    """How far one call is; set by the session's thread, and told by another one.

    Without a count it is told in seconds.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._told = 0.0
        self._count: Progress | None = None
        self._words = "waiting for its turn"

    def begin(self) -> None:
        self._words = "being judged and planned"

    def sampled(self, what: Sample | str) -> None:
        """Take what a statement waits for, or a sample of it while it runs."""
        if isinstance(what, str):
            self._words = what
            return
        memory = what.session_memory_bytes
        held = "" if memory is None else f", {memory / 2**20:.0f} MiB of its server's memory"
        self._words = f"running, {what.rows:,} rows so far{held}"

    def show(self, progress: Progress) -> None:
        """Take how far a job is."""
        self._count = progress
        self._words = progress.waiting or f"{progress.done:,} looked at"

    async def tell(self, report: Report) -> None:
        """Tell it once a second, until it is cancelled."""
        while True:
            await asyncio.sleep(TOLD_EVERY_SECONDS)
            count = self._count
            now = time.monotonic() - self._began if count is None else float(count.done)
            total = None if count is None or count.expected <= count.done else float(count.expected)
            # The protocol wants each to be greater than the one before.
            self._told = max(now, self._told + 0.001)
            await report(self._told, total, self._words)


class AgentSession(msgspec.Struct, frozen=True, kw_only=True):
    """
    A session, as the tools use it.

    Attributes:
        gate: the agent's own session.
        rules: how the servers read text.
        check: what would be decided for a text, one value a statement, by the names that `safeconsole check` uses.
        capacity: sizes, or leftovers of migrations, of one schema or of all.
        approvals: codes that wait for a person, with what each asks for.
        saving: makes a file for rows; None where the client is on another computer.
    """

    session: Session
    rules: Callable[[], LexicalRules]
    check: Callable[[str], list[dict[str, Any]]]
    capacity: Callable[[str, bool, Headway], Sizes]
    approvals: Callable[[], dict[str, str]]
    saving: Saving | None = None


class SessionThread:
    """
    Runs calls on the session, one after the other.

    A session that was told to stop sends nothing further: after a cancelled call the next one opens another.

    Args:
        open_session: opens a session for an agent of a name; left when the client leaves.
    """

    def __init__(self, open_session: Callable[[str], AbstractContextManager[AgentSession]]) -> None:
        self._open = open_session
        self._waiting: queue.SimpleQueue[tuple[str, Callable[[AgentSession], Any], Future[Any]] | None]
        self._waiting = queue.SimpleQueue()
        self._running: tuple[Future[Any], Session] | None = None
        self._stopped = False
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="safeconsole-mcp", daemon=True)
        self._thread.start()

    async def call(self, agent: str, act: Callable[[AgentSession], Value]) -> Value:
        """
        Queue one call and return its result.

        Raises:
            SafeConsoleError: as the call; the session could not be opened.
            asyncio.CancelledError: the client cancelled it; what ran is stopped on the server.
        """
        future: Future[Value] = Future()
        with self._lock:
            if self._closed:
                raise _ended()
            self._waiting.put((agent, act, future))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.cancel()
            await asyncio.to_thread(self._stop, future)
            raise

    def close(self) -> None:
        """End the session: stop the running call, refuse the queued ones."""
        with self._lock:
            self._closed = True
            self._waiting.put(None)
        running = self._running
        if running is not None:
            stop_insistently(running[1].stop)
        self._thread.join()

    def _stop(self, future: Future[Any]) -> None:
        running = self._running
        if running is not None and running[0] is future:
            self._stopped = True
            stop_insistently(running[1].stop)

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            agent = job[0]
            if self._closed:
                job[2].set_exception(_ended())
                continue
            try:
                with self._open(agent) as opened:
                    self._stopped = False
                    over = self._serve(opened, job)
            except Exception as error:  # noqa: BLE001 (the session could not be opened: whoever asked is told)
                with suppress(Exception):
                    job[2].set_exception(error)
                continue
            if over:
                return

    def _serve(self, opened: AgentSession, job: tuple[str, Callable[[AgentSession], Any], Future[Any]] | None) -> bool:
        """Run calls until the client leaves (True) or one was cancelled (False)."""
        while job is not None:
            _, act, future = job
            if self._closed:
                future.set_exception(_ended())
                job = self._waiting.get()
                continue
            self._running = (future, opened.session)
            try:
                value = act(opened)
            except BaseException as error:  # noqa: BLE001 (raised where the call was made)
                with suppress(Exception):
                    future.set_exception(
                        error if isinstance(error, Exception) else RefusedError(f"interrupted: {error}")
                    )
            else:
                with suppress(Exception):
                    future.set_result(value)
            finally:
                self._running = None
            if self._stopped:
                return False
            job = self._waiting.get()
        return True


def _ended() -> RefusedError:
    return RefusedError("this session has ended", instead="call again: that opens another")
