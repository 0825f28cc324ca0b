"""One agent's session in a thread of its own: calls are queued, and a cancelled one is stopped."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from typing import Any, TypeVar

import msgspec

from safeconsole.cluster.engine import stop_insistently
from safeconsole.errors import RefusedError
from safeconsole.mcp.answers import Saving
from safeconsole.session.session import Session
from safeconsole.sqltext.lexer import LexicalRules

Value = TypeVar("Value")


class AgentSession(msgspec.Struct, frozen=True, kw_only=True):
    """
    A session, as the tools use it.

    Attributes:
        gate: the agent's own session.
        rules: how the servers read text.
        check: what would be decided for a text, one value a statement, by the names that `safeconsole check` uses.
        capacity: sizes, or leftovers of migrations, of one schema or of all, as JSON text.
        approvals: codes that wait for a person, with what each asks for.
        saving: makes a file for rows; None where the client is on another computer.
    """

    gate: Session
    rules: Callable[[], LexicalRules]
    check: Callable[[str], list[dict[str, Any]]]
    capacity: Callable[[str, bool], str]
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
                with self._open(agent) as session:
                    self._stopped = False
                    over = self._serve(session, job)
            except Exception as error:  # noqa: BLE001 (the session could not be opened: whoever asked is told)
                with suppress(Exception):
                    job[2].set_exception(error)
                continue
            if over:
                return

    def _serve(self, session: AgentSession, job: tuple[str, Callable[[AgentSession], Any], Future[Any]] | None) -> bool:
        """Run calls until the client leaves (True) or one was cancelled (False)."""
        while job is not None:
            _, act, future = job
            if self._closed:
                future.set_exception(_ended())
                job = self._waiting.get()
                continue
            self._running = (future, session.gate)
            try:
                value = act(session)
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
