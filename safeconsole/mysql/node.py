"""Measures one node, over its control connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from safeconsole.cluster.engine import Sensor, in_turn
from safeconsole.config.secrets import Secret
from safeconsole.config.settings import ClusterSettings
from safeconsole.dialects.mysql import MYSQL
from safeconsole.errors import ConfigurationError, CrowdedError, UnreachableError
from safeconsole.mysql.control import Control, First, Line
from safeconsole.mysql.dialling import NodeAddress, login_for, resolve
from safeconsole.mysql.discovery import Lead, Met, company_of, why_not_asked
from safeconsole.mysql.error_codes import text_of
from safeconsole.mysql.guards import rules_of
from safeconsole.mysql.history import History
from safeconsole.mysql.login import Login
from safeconsole.mysql.measuring import Measured, Questions
from safeconsole.mysql.opening import open_line
from safeconsole.mysql.recognising import AURORA_QUESTION, GATEWAY, Variant, is_aurora
from safeconsole.mysql.running import BREAKS
from safeconsole.mysql.sensors import FirstLook
from safeconsole.mysql.topology import RoleProof, prove_role
from safeconsole.mysql.watchdog import NodeWatch
from safeconsole.policy.readings import Identity, Reading
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import NodeName

if TYPE_CHECKING:
    from safeconsole.mysql.bastion import Bastion

MEASURED_WITHIN_SECONDS = 2.0
"""Timeout of one answer while measuring."""

REFUSED_SECONDS = 300.0
"""How long it is believed that the account may not ask what it was refused: most grants are for the next login only."""

_SIDE_BY_SIDE_SECONDS = 1.0


class MeasuredNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node that answered: its address, identity and lexical rules.

    Attributes:
        place: its address as resolved then; connections go there.
        server: its identity; connections compare it.
        variant, rules: which server it is, and its lexical rules.
        met: the same as others find it, and whom it speaks of.
        shares_writes: as in `Reading`.
    """

    place: NodeAddress
    server: str
    variant: Variant
    rules: LexicalRules
    met: Met
    shares_writes: bool = False


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The result of measuring one address; `seen` is None if no server answered."""

    reading: Reading
    seen: MeasuredNode | None = None


class Monitor:
    """Measures one address, over its control connection.

    Args:
        node: the name that its readings carry.
        address: "host:port" or a socket's path; resolved anew whenever the connection is opened anew.
        secret: fetches the read account's for an address, when a connection is opened.
        bastion: reaches it, where its network is another one.
        free_memory: a source for the host's free memory, or None.
        running_memory: such a source, asked while a statement runs, or None.
        lead: how the address was found, None for a configured one.
        make_room: closes a connection of the account that nobody uses now, where there is one.
        now: the cluster's clock.
        remembered: which server another process met there, or None; it is asked whether it is that one still.
    """

    def __init__(  # noqa: PLR0913 (what one address is measured with, each named)
        self,
        *,
        node: NodeName,
        address: str,
        settings: ClusterSettings,
        secret: Callable[[str], Secret],
        bastion: Bastion | None = None,
        free_memory: Sensor | None = None,
        running_memory: Sensor | None = None,
        lead: Lead | None = None,
        make_room: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.monotonic,
        remembered: Variant | None = None,
    ) -> None:
        self.node = node
        self.address = address
        self.known = remembered
        self._is_unsure = remembered is not None
        self._look: FirstLook | None = None
        self._resolved: tuple[float, NodeAddress] | None = None
        self._resolving = threading.Lock()
        self._settings = settings
        self._secret = secret
        self._bastion = bastion
        self._free_memory = free_memory
        self._lead = lead
        self._make_room = make_room
        self._now = now
        self._log_in_again_seconds = float("inf")
        self._answer_seconds = min(settings.connect_seconds, MEASURED_WITHIN_SECONDS)
        self.watch = NodeWatch(Control(self._open_line, now), free_memory=running_memory)
        self.history = History(self.watch.control, now, connect_seconds=settings.connect_seconds)

    def measure(self, now_seconds: float) -> Measurement:
        """Measure the node; if it does not answer, the reading says so.

        Raises:
            ConfigurationError: the address, the account's secret or its TLS settings are wrong; of a found address
                that is a reading, since nobody configured it.
        """
        is_full = is_gateway = False
        look, self._look = self._look, None
        if self._now() >= self._log_in_again_seconds and self.watch.rest(idle_seconds=0) is None:
            self._log_in_again_seconds = float("inf")
        try:
            checks, asked = self._is_unsure, partial(self.watch.control.ask, within_seconds=self._answer_seconds)
            first = partial(self._asked_first, look, checks=checks)
            measured = asked(partial(self._measure, now_seconds, look, checks=checks), first=first)
            if measured is not None:
                return measured
            # Another server than the one that was remembered: it is met like any other.
            self.watch.control.rest()
            return self.measure(now_seconds)
        except UnreachableError as error:
            trouble, mend, is_full = error.message, error.instead, isinstance(error, CrowdedError)
            is_gateway = error.code == GATEWAY
        except ConfigurationError as error:
            if self._lead is None:
                raise
            trouble, mend = error.message, error.instead
        except BREAKS as error:
            trouble, mend = f"lost while it was measured: {text_of(error).lower()}", ""
        finally:
            if look is not None:
                look.may_look()
        return self.silent(trouble, now_seconds, mend=mend, is_full=is_full, is_gateway=is_gateway)

    def expect(self, look: FirstLook) -> None:
        """Look for a connection that is being opened beside the next measurement, in its flight."""
        self._look = look

    def silent(
        self,
        trouble: str,
        now_seconds: float,
        *,
        mend: str = "",
        is_full: bool = False,
        is_gateway: bool = False,
    ) -> Measurement:
        """Return the reading of a node that cannot be measured, or did not answer in time."""
        reading = Reading(
            node=self.node,
            unreachable=trouble,
            mend=mend,
            is_full=is_full,
            is_gateway=is_gateway,
            tags=self._tags(),
            measured_seconds=now_seconds,
        )
        return Measurement(reading=reading)

    def close(self) -> None:
        """Close its connection; never raises."""
        self.watch.close()

    def _asked_first(self, look: FirstLook | None, dialect: Dialect, *, checks: bool) -> tuple[str, ...]:
        questions = Questions(dialect=dialect, heartbeat=self._settings.heartbeat).texts
        again = (AURORA_QUESTION,) if checks and dialect is MYSQL else ()
        return (*questions, *again, *(look.questions(dialect) if look is not None else ()))

    def _measure(self, now_seconds: float, look: FirstLook | None, line: Line, *, checks: bool) -> Measurement | None:
        """Return the measurement, None where the server is another one than it was taken for."""
        texts, brought = line.questions.texts, line.first
        if brought:
            # A connection that was opened for this brought the answers along.
            replies, behind = brought[: len(texts)], brought[len(texts) :]
            if checks and line.dialect is MYSQL and is_aurora(behind.pop(0)):
                self.known, self._is_unsure = None, False
                return None
            if look is not None:
                look.answered(line, behind)
        else:
            replies = line.wire.flight(*texts)
        measured = line.questions.measured(line.wire, replies)
        proof = prove_role(measured.facts)
        self.known, self._is_unsure = line.variant, False
        if line.questions.refused and self._log_in_again_seconds == float("inf"):
            self._log_in_again_seconds = self._now() + REFUSED_SECONDS
        member = measured.facts.member
        self.history.measured(line.dialect, in_galera=member is not None and member.kind == "galera")
        seen = MeasuredNode(
            place=line.place,
            server=measured.server,
            variant=line.variant,
            rules=rules_of(line.dialect, line.version, line.session.sql_mode),
            met=Met(
                server=measured.server,
                place=line.place,
                company=company_of(measured.facts, measured.followers, measured.listed),
            ),
            shares_writes=measured.facts.shares_writes,
        )
        reading = self._reading(now_seconds, line, measured, proof)
        return Measurement(reading=reading, seen=seen)

    def _reading(self, now_seconds: float, line: Line, measured: Measured, proof: RoleProof) -> Reading:
        return Reading(
            node=self.node,
            role=proof.role,
            proof=proof.words,
            identity=Identity(server=measured.server, address=line.place.address),
            flavour=line.dialect.flavour,
            version=line.wire.server_version.removeprefix("5.5.5-"),
            lag_seconds=proof.lag_seconds,
            replicating=proof.replicating,
            shares_writes=measured.facts.shares_writes,
            read_only=measured.facts.read_only or measured.facts.innodb_read_only,
            mark=measured.mark,
            free_memory_bytes=self._free_memory.read() if self._free_memory else None,
            used_memory_bytes=measured.used_memory_bytes,
            threads_running=measured.threads_running,
            tables=measured.tables,
            history_length=measured.history_length,
            tags=self._tags(),
            one_at_a_time=line.dialect.server.takes_several and not line.wire.takes_several,
            measured_seconds=now_seconds,
        )

    def _open_line(self, again: Line | None, first: First) -> Line:
        while True:
            try:
                # Who watches a statement waits for its turn; who measures tells that the node is full.
                return in_turn(partial(self._line, again, first)) if again is not None else self._line(None, first)
            except CrowdedError:
                if not self._make_room():
                    raise

    def _line(self, again: Line | None, first: First) -> Line:
        if again is not None:
            heartbeat = again.questions.heartbeat
            return open_line(again.login, again.place, heartbeat=heartbeat, known=again.variant, first=first)
        place, login = self.reached()
        return open_line(login, place, heartbeat=self._settings.heartbeat, known=self.known, first=first)

    def reached(self) -> tuple[NodeAddress, Login]:
        """Resolve the address, and fetch what it takes to log in there.

        Raises:
            UnreachableError: the name does not resolve, or a found address is not asked.
            ConfigurationError: as `measure`.
        """
        with self._resolving:
            # What is opened side by side goes to one place.
            if self._resolved is None or time.monotonic() - self._resolved[0] > _SIDE_BY_SIDE_SECONDS:
                self._resolved = time.monotonic(), resolve(self.address, bastion=self._settings.ssh)
            place = self._resolved[1]
        if self._lead and (why := why_not_asked(self._lead, place, self._settings)):
            raise UnreachableError(f"it was not asked, since {why}")
        login = login_for(
            place,
            self._settings.tls,
            secret=self._secret(place.named),
            bastion=self._bastion,
            connect_seconds=self._settings.connect_seconds,
        )
        return place, login

    def _tags(self) -> frozenset[str]:
        return frozenset(self._settings.tags.get(self.address, ()))
