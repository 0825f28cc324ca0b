"""The MCP server over HTTP: each token has its own session, and every request needs one."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.requests import Request

from safeconsole.errors import ConfigurationError
from safeconsole.mcp.server import ToolCalls, server_of

PATH = "/mcp"
IDLE_SECONDS = 600.0
MOST_AGENTS = 64
LARGEST_REQUEST_BYTES = 1024 * 1024
GRACE_SECONDS = 5
"""How long a request that is under way may take once the server was told to leave."""


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated agent: its token's id, and the person it works for."""

    token: str
    person: str


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server listens.

    Attributes:
        host, port: port 0 takes a free one.
        certificate, key: PEM files, None for plain HTTP on a loopback address.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"


class AgentsByToken:
    """
    The agents by token; ends sessions that are idle or whose token expired.

    Args:
        begin: opens what answers an agent.
        verify: returns whose token a text is, None for nobody's.
    """

    def __init__(self, begin: Callable[[Agent], ToolCalls], verify: Callable[[str], Agent | None]) -> None:
        self._begin, self._verify = begin, verify
        self._open: dict[str, tuple[str, ToolCalls, float]] = {}
        self._lock = threading.Lock()

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return the token's grant, as the SDK asks for it; None is answered with 401."""
        agent = await asyncio.to_thread(self._verify, token)
        if agent is None:
            return None
        return AccessToken(token=token, client_id=agent.token, scopes=[], subject=agent.person)

    def of(self, request: Request) -> ToolCalls:
        """
        Return the tool calls of the agent behind a request.

        Raises:
            ConfigurationError: too many agents at once.
        """
        # The SDK lets no request through that came without one.
        grant: AccessToken = request.user.access_token
        with self._lock:
            known = self._open.get(grant.client_id)
            if known is None and len(self._open) >= MOST_AGENTS:
                raise ConfigurationError(f"{MOST_AGENTS} agents are connected: try again later")
            calls = known[1] if known else self._begin(Agent(token=grant.client_id, person=grant.subject or ""))
            self._open[grant.client_id] = (grant.token, calls, time.monotonic())
            return calls

    def end_idle(self, idle_seconds: float = IDLE_SECONDS) -> None:
        """End sessions that are idle for too long, or whose token was revoked or expired."""
        with self._lock:
            before = time.monotonic() - idle_seconds
            over = [each for each, (token, _, used) in self._open.items() if used < before or not self._verify(token)]
            ended = [self._open.pop(each)[1] for each in over]
        for calls in ended:
            calls.close()

    def close(self) -> None:
        self.end_idle(0.0)


def serve(cluster: str, agents: AgentsByToken, listening: Listening) -> None:
    """
    Serve until SIGTERM or SIGINT; one JSON line on standard output says where, once it listens.

    Raises:
        ConfigurationError: the address cannot be listened on, or is no loopback address and has no certificate.
    """
    if not listening.certificate and not _is_loopback(listening.host):
        raise ConfigurationError(
            f"{listening.host} is no loopback address: tokens need TLS", instead="give --tls-cert and --tls-key"
        )
    bound = _bound(listening)
    port = bound.getsockname()[1]
    shown = f"[{listening.host}]" if ":" in listening.host else listening.host
    address = f"{listening.scheme}://{shown}:{port}"
    auth = AuthSettings(issuer_url=AnyHttpUrl(address), resource_server_url=None)
    server = server_of(cluster, agents.of, auth=auth, token_verifier=agents)
    names = [
        f"{name}:{port}" for name in dict.fromkeys((shown, "localhost" if _is_loopback(listening.host) else shown))
    ]
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        session_idle_timeout=IDLE_SECONDS,
        max_sessions=4 * MOST_AGENTS,
        max_request_body_size=LARGEST_REQUEST_BYTES,
        host=listening.host,
        transport_security=TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=names,
            allowed_origins=[f"{listening.scheme}://{name}" for name in names],
        ),
    )
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=listening.certificate, ssl_keyfile=listening.key, server_header=False,
    )  # fmt: skip
    asyncio.run(_serve(uvicorn.Server(config), bound, agents, {"listen": f"{address}{PATH}", "cluster": cluster}))


async def _serve(server: Any, bound: socket.socket, agents: AgentsByToken, ready: dict[str, str]) -> None:  # noqa: ANN401 (uvicorn's)
    async with _ending_idle(agents):
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started and not serving.done():  # noqa: ASYNC110 (uvicorn tells it in no other way)
            await asyncio.sleep(0.01)
        if server.started:
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
        await serving


@contextlib.asynccontextmanager
async def _ending_idle(agents: AgentsByToken) -> AsyncIterator[None]:
    async def look() -> None:
        while True:
            await asyncio.sleep(1.0)
            await asyncio.to_thread(agents.end_idle)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        await asyncio.to_thread(agents.close)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bound(listening: Listening) -> socket.socket:
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((listening.host, listening.port))
    except OSError as error:
        bound.close()
        raise ConfigurationError(
            f"{listening.host}:{listening.port} cannot be listened on: {error.strerror or error}"
        ) from error
    return bound
