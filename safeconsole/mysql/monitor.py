"""Measures one address again and again, over a connection of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import msgspec

from safeconsole.cluster.engine import Sensor
from safeconsole.config.settings import ClusterSettings
from safeconsole.errors import ConfigurationError, SafeConsoleError, UnreachableError
from safeconsole.mysql.dialling import NodeAddress, login_for, resolve
from safeconsole.mysql.discovery import Lead, Met, company_of, why_not_asked
from safeconsole.mysql.error_codes import is_lost, text_of
from safeconsole.mysql.guards import number, rules_of
from safeconsole.mysql.measuring import measure
from safeconsole.mysql.opening import Guarded, open_own
from safeconsole.mysql.running import BREAKS
from safeconsole.mysql.topology import prove_role
from safeconsole.policy.readings import Identity, Reading
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import NodeName

_POSITION = re.compile(r"[0-9A-Za-z_:,-]+", re.ASCII)

ANSWER_SECONDS = 2.0
"""How long a node may take for one answer when it is measured; a position is waited for at most a second."""


class MeasuredNode(msgspec.Struct, frozen=True, kw_only=True):
    """
    A node that answered: where it is, who it is, and how it reads text.

    Attributes:
        place: its address as resolved then; connections go there.
        server: its identity; connections compare it.
        dialect, rules: the family member and its lexical rules.
        met: the same as others find it, and whom it speaks of.
    """

    place: NodeAddress
    server: str
    dialect: Dialect
    rules: LexicalRules
    met: Met


class Monitor:
    """
    Measures one address; each use from one thread at a time.

    Args:
        node: the name that its readings carry.
        address: "host:port" or a socket's path; resolved anew whenever the connection is opened anew.
        account: login name of the read account.
        password: fetches its secret for an address, when a connection is opened.
        free_memory: a source for the host's free memory, or None.
        lead: how the address was found, None for a configured one.
    """

    def __init__(  # noqa: PLR0913 (what one address is measured with, each named)
        self,
        *,
        node: NodeName,
        address: str,
        settings: ClusterSettings,
        account: str,
        password: Callable[[str], str],
        free_memory: Sensor | None = None,
        lead: Lead | None = None,
    ) -> None:
        self.node = node
        self.address = address
        self.seen: MeasuredNode | None = None
        self._settings = settings
        self._account = account
        self._password = password
        self._free_memory = free_memory
        self._lead = lead
        self._answer_seconds = min(settings.connect_seconds, ANSWER_SECONDS)
        self._open: tuple[Guarded, NodeAddress] | None = None

    def measure(self, now_seconds: float) -> Reading:
        """
        Return the node as it is now; one that does not answer is a reading that says so.

        Raises:
            ConfigurationError: the address, the account's secret or its TLS settings are wrong; of a found address
                that is a reading, since nobody configured it.
        """
        reused, started = self._open is not None, time.monotonic()
        try:
            try:
                return self._measure(now_seconds)
            except BREAKS:
                self.close()
                # Who let an answer's whole time pass is deaf: nobody waits that long for it twice.
                if not reused or time.monotonic() - started >= self._answer_seconds:
                    raise
            # The old connection had been closed while it was idle.
            return self._measure(now_seconds)
        except UnreachableError as error:
            trouble = error.message
        except ConfigurationError as error:
            if self._lead is None:
                raise
            trouble = error.message
        except BREAKS as error:
            trouble = f"lost while it was measured: {text_of(error).lower()}"
        self.close()
        self.seen = None
        return Reading(node=self.node, unreachable=trouble, tags=self._tags(), measured_seconds=now_seconds)

    def position(self) -> str:
        """How far the node's own history goes, "" where it does not tell; never raises."""
        rows = self._asked(lambda dialect: dialect.server.position)
        found = "".join(str(rows[0][0] or "").split()) if rows else ""
        # It is put into a text again; what a server says is not trusted for that.
        return found if _POSITION.fullmatch(found) else ""

    def has_reached(self, position: str, *, within_seconds: float) -> bool:
        """Whether the node has applied a position, waiting for it; False when it does not tell; never raises."""
        if not _POSITION.fullmatch(position):
            return False
        rows = self._asked(
            lambda dialect: dialect.server.wait.format(position=position, seconds=number(within_seconds))
        )
        return bool(rows) and str(rows[0][0]) == "0"

    def _asked(self, question: Callable[[Dialect], str]) -> list[tuple[Any, ...]]:
        try:
            guarded, _ = self._connected()
            guarded.wire.wait_at_most(max(self._settings.connect_seconds, ANSWER_SECONDS))
            return guarded.wire.rows(question(guarded.dialect))
        except (SafeConsoleError, *BREAKS) as error:
            if isinstance(error, SafeConsoleError) or is_lost(error):
                self.close()
            return []

    def close(self) -> None:
        """Close its connection; never raises."""
        if self._open is not None:
            self._open[0].wire.quit()
            self._open = None

    def _measure(self, now_seconds: float) -> Reading:
        guarded, place = self._connected()
        guarded.wire.wait_at_most(self._answer_seconds)
        measured = measure(guarded.wire, guarded.dialect, heartbeat=self._settings.heartbeat)
        proof = prove_role(measured.facts)
        self.seen = MeasuredNode(
            place=place,
            server=measured.server,
            dialect=guarded.dialect,
            rules=rules_of(guarded.dialect, guarded.version, guarded.session.sql_mode),
            met=Met(server=measured.server, place=place, company=company_of(measured.facts, measured.followers)),
        )
        return Reading(
            node=self.node,
            role=proof.role,
            proof=proof.words,
            identity=Identity(server=measured.server, address=place.address),
            flavour=guarded.dialect.flavour,
            version=guarded.wire.server_version.removeprefix("5.5.5-"),
            lag_seconds=proof.lag_seconds,
            replicating=proof.replicating,
            read_only=measured.facts.read_only or measured.facts.innodb_read_only,
            mark=measured.mark,
            free_memory_bytes=self._free_memory.read() if self._free_memory else None,
            used_memory_bytes=measured.used_memory_bytes,
            threads_running=measured.threads_running,
            tables=measured.tables,
            history_length=measured.history_length,
            tags=self._tags(),
            measured_seconds=now_seconds,
        )

    def _connected(self) -> tuple[Guarded, NodeAddress]:
        if self._open is not None and self._open[0].wire.has_ended:
            self.close()
        if self._open is None:
            place = resolve(self.address)
            if self._lead and (why := why_not_asked(self._lead, place, self._settings)):
                raise UnreachableError(f"it was not asked, since {why}")
            login = login_for(
                place,
                self._settings.tls,
                account=self._account,
                password=self._password(place.named),
                connect_seconds=self._settings.connect_seconds,
            )
            self._open = (open_own(login), place)
        return self._open

    def _tags(self) -> frozenset[str]:
        return frozenset(self._settings.tags.get(self.address, ()))
