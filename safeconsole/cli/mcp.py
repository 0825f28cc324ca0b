"""`safeconsole mcp`: an MCP server on standard input and output, for agents."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from safeconsole.cli.application import Application, Door, OpenSession
from safeconsole.cli.help import CLUSTER
from safeconsole.errors import ConfigurationError
from safeconsole.output.confirming import NoTerminal

if TYPE_CHECKING:
    from safeconsole.mcp.session import AgentSession
    from safeconsole.policy.decision import Considered, ElevationRequest
    from safeconsole.session.session import Session


class _LeftToAPerson(NoTerminal):
    """Lets a request of an agent's go on to the person who has to approve it, and grants nothing by itself."""

    gate: Session | None = None

    def elevate(self, request: ElevationRequest, considered: Considered | None) -> bool:  # noqa: ARG002 (the protocol's signature)
        """Return whether somebody else has to approve it."""
        return self.gate is not None and self.gate.needs_a_person


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.pass_obj
def mcp(app: Application, cluster: str) -> None:
    """Serve CLUSTER to an agent: an MCP server on standard input and output.

    The agent asks, checks, describes and explains under the same policy and limits as a person, and never elevates:
    it asks for an approval that a person gives with `safeconsole approve CODE`. Needs the extra `mcp`.
    """
    try:
        from safeconsole.mcp.server import server_of
        from safeconsole.mcp.session import SessionThread
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the MCP server needs the extra mcp ({error.name} is not installed)",
            instead="pip install 'safeconsole[mcp]'",
        ) from error
    if cluster not in app.settings().clusters:
        raise ConfigurationError(f"there is no cluster {cluster}", instead="safeconsole init adds one")

    @contextmanager
    def opened(agent: str) -> Iterator[AgentSession]:
        asking = _LeftToAPerson()
        with app.open(
            Door(cluster=cluster, face="mcp", person=replace(app.person, agent=agent), confirmer=asking)
        ) as session:
            asking.gate = session.gate
            yield _agent_session(app, session)

    thread = SessionThread(opened)
    try:
        server_of(cluster, thread).run("stdio")
    finally:
        thread.close()


def _agent_session(app: Application, session: OpenSession) -> AgentSession:
    from safeconsole.approvals.carrying import waiting_requests
    from safeconsole.audit.files import make_private_directory
    from safeconsole.cli.capacity import Wish, run_capacity
    from safeconsole.cli.check import checked
    from safeconsole.mcp.session import AgentSession
    from safeconsole.output.presenting import screen_of

    gate = session.gate

    def check(text: str) -> list[dict[str, Any]]:
        return [checked(gate.check(statement), gate.policy) for statement in gate.split(text)]

    def capacity(schema: str, leftovers: bool) -> str:  # noqa: FBT001 (the tool's own two parameters)
        data = io.StringIO()
        wish = Wish(schema=schema, leftovers=leftovers, form="jsonl", top=50)
        run_capacity(session, wish, app, screen_of(data, io.StringIO(), app.environ))
        return data.getvalue()

    def approvals() -> dict[str, str]:
        return {code: request.sql for code, request in waiting_requests(app.settings().approvals)}

    def saving(form: str) -> Path:
        directory = app.state_directory(app.person) / "agent-results"
        make_private_directory(directory)
        return directory / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{token_hex(4)}.{form}"

    return AgentSession(
        gate=gate, rules=session.rules, check=check, capacity=capacity, approvals=approvals, saving=saving
    )
