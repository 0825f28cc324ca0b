"""`safeconsole mcp`: an MCP server on standard input and output, for agents."""

from __future__ import annotations

import io
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from safeconsole import interrupts
from safeconsole.cli.application import Application, Door, OpenSession
from safeconsole.cli.root import CLUSTER
from safeconsole.errors import ConfigurationError
from safeconsole.output.confirming import NoTerminal

if TYPE_CHECKING:
    from safeconsole.config.identity import Person
    from safeconsole.mcp.http import Listening
    from safeconsole.mcp.server import ToolCalls
    from safeconsole.mcp.session import AgentSession, Headway, Sizes
    from safeconsole.policy.decision import Assessment, ElevationRequest
    from safeconsole.session.session import Session


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
HIGHEST_PORT = 65_535


class _LeftToAPerson(NoTerminal):
    """Passes an agent's requests on to a person's approval, and grants nothing itself."""

    session: Session | None = None

    def elevate(self, request: ElevationRequest, considered: Assessment | None) -> bool:  # noqa: ARG002 (the protocol's signature)
        """Return whether somebody else has to approve it."""
        return self.session is not None and self.session.needs_a_person


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.option("--listen", metavar="HOST:PORT", help="Serve over HTTP to agents with a token, at /mcp.")
@click.option("--tls-cert", type=FILE, help="Certificate (PEM); required beyond loopback.")
@click.option("--tls-key", type=FILE, help="Its key (PEM).")
@click.pass_obj
def mcp(app: Application, cluster: str, listen: str | None, tls_cert: Path | None, tls_key: Path | None) -> None:
    """Serve CLUSTER to an agent: an MCP server on standard input and output.

    The agent asks, checks, describes and explains under the same policy and limits as a person, and never elevates:
    it asks for an approval that a person gives with `safeconsole approve CODE`. Needs the extra `mcp`.

    With --listen it serves many agents over HTTP, each with a token from `safeconsole token issue PERSON --agent`.
    """
    try:
        from safeconsole.mcp.server import ToolCalls, server_of
        from safeconsole.mcp.session import SessionThread
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the MCP server needs the extra mcp ({error.name} is not installed)",
            instead="pip install 'safeconsole[mcp]'",
        ) from error
    if cluster not in app.settings().clusters:
        raise ConfigurationError(f"there is no cluster {cluster}", instead="safeconsole init adds one")

    def calls_for(person: Person, *, here: bool) -> ToolCalls:
        @contextmanager
        def opened(agent: str) -> Iterator[AgentSession]:
            asking = _LeftToAPerson()
            door = Door(cluster=cluster, face="mcp", person=replace(person, agent=agent), confirmer=asking)
            with app.open(door) as opened:
                asking.session = opened.session
                yield _agent_session(app, opened, here=here)

        return ToolCalls(SessionThread(opened))

    if listen is not None:
        _listen(app, cluster, _listening(listen, tls_cert, tls_key), partial(calls_for, here=False))
        return
    calls = calls_for(app.person, here=True)
    with _left_at_once(calls.close):
        try:
            server_of(cluster, lambda _request: calls).run("stdio")
        finally:
            calls.close()


@contextmanager
def _left_at_once(close: Callable[[], None]) -> Iterator[None]:
    """Make a signal end the session and the process, since a read of standard input cannot be woken."""

    def leave() -> None:
        close()
        interrupts.leave_at_once(128 + (interrupts.told() or signal.SIGINT))

    def begin(*_: object) -> None:
        threading.Thread(target=leave, daemon=True, name="safeconsole-leaving").start()

    before = signal.signal(signal.SIGINT, begin)
    try:
        with interrupts.answered_by(begin):
            yield
    finally:
        signal.signal(signal.SIGINT, before)


def _listen(app: Application, cluster: str, listening: Listening, calls_for: Callable[[Person], ToolCalls]) -> None:
    from safeconsole.cli.token import open_tokens
    from safeconsole.mcp.http import Agent, AgentsByToken, serve

    tokens = open_tokens(app)

    def verify(text: str) -> Agent | None:
        token = tokens.named_by(text, time.time())
        return None if token is None else Agent(token=token.id, person=token.person)

    def begin(agent: Agent) -> ToolCalls:
        # Groups, terminal and origin are those of whoever started this process, and nobody else's.
        return calls_for(replace(app.person, name=agent.person, groups=(), origin="", terminal=False))

    serve(cluster, AgentsByToken(begin, verify), listening)


def _listening(listen: str, certificate: Path | None, key: Path | None) -> Listening:
    from safeconsole.mcp.http import Listening

    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise click.UsageError(f"--listen {listen!r} is no HOST:PORT such as 127.0.0.1:8808")
    if (certificate is None) is not (key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    return Listening(host=host.strip("[]"), port=int(port), certificate=certificate, key=key)


def _agent_session(app: Application, opened: OpenSession, *, here: bool) -> AgentSession:
    from safeconsole.approvals.carrying import waiting_requests
    from safeconsole.audit.files import make_private_directory
    from safeconsole.cli.capacity import Wish, run_capacity
    from safeconsole.cli.check import checked
    from safeconsole.mcp.session import AgentSession
    from safeconsole.output.presenting import screen_of

    session = opened.session

    def check(text: str) -> list[dict[str, Any]]:
        return [checked(session.check(statement), session.policy) for statement in session.split(text)]

    def capacity(schema: str, leftovers: bool, headway: Headway) -> Sizes:  # noqa: FBT001 (the tool's own parameters)
        data = io.StringIO()
        wish = Wish(schema=schema, leftovers=leftovers, form="jsonl", top=0)
        screen = screen_of(data, io.StringIO(), app.environ)
        considered = run_capacity(opened, wish, app, screen, watcher=headway)
        return [json.loads(line) for line in data.getvalue().splitlines()], considered

    def approvals() -> dict[str, str]:
        # What others asked for, with its literals, is theirs.
        own = session.context.person.name, session.context.cluster
        waiting = waiting_requests(app.settings().approvals)
        return {code: request.sql for code, request in waiting if (request.person, request.cluster) == own}

    def saving(form: str) -> Path:
        directory = app.state_directory(app.person) / "agent-results"
        make_private_directory(directory)
        return directory / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{token_hex(4)}.{form}"

    return AgentSession(
        session=session,
        rules=opened.rules,
        check=check,
        capacity=capacity,
        approvals=approvals,
        saving=saving if here else None,
    )
