"""The nodes that others named: what is remembered of them while a session lasts, and what becomes of their readings."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from safeconsole.adapters.mysql.discovery import Lead, Met, is_called, leads_of, strangers, unseen_followers
from safeconsole.adapters.mysql.variants import VARIANTS
from safeconsole.core.routing import Reading
from safeconsole.core.settings import ClusterSettings
from safeconsole.core.vocabulary import Role


class Found:
    """
    What the nodes of one cluster said of others; used by one thread at a time.

    Attributes:
        leads: the addresses found so far, kept when nobody names them any more.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        self.leads: dict[str, Lead] = {}
        self._settings = settings
        self._known: set[str] = set()
        self._refused: dict[str, str] = {}
        self._same: dict[str, str] = {}

    def follow(self, met: Mapping[str, Met], asked: Mapping[str, Reading], *, most: int) -> tuple[str, ...]:
        """
        Remember where the servers lead that answered, and return the addresses that were not asked yet.

        Args:
            met: who answered, by address.
            asked: every address that was asked.
            most: how many more, >= 0.
        """
        if self._settings.discovery == "off":
            return ()
        fresh: dict[str, Lead] = {}
        servers = {each.server for each in met.values()}
        # Those that are refused lead nowhere: whom they name is nobody's word.
        outside = strangers(met, self.leads, self._known)
        named = [lead for address in met.keys() - outside for lead in leads_of(asked[address].node, met[address])]
        for lead in named:
            # The same server under another name needs no second connection.
            is_met = self._same.get(lead.address) in servers or any(is_called(one, lead.server) for one in servers)
            before = self.leads.get(lead.address)
            if before and lead.server not in ("", before.server):
                # Another server was put there since.
                self.leads[lead.address] = lead
            elif lead.address not in asked and not is_met:
                fresh.setdefault(lead.address, lead)
        taken = dict(list(fresh.items())[: max(most, 0)])
        self.leads.update(taken)
        return tuple(taken)

    def judged(self, measured: Mapping[str, Reading], met: Mapping[str, Met]) -> tuple[Reading, ...]:
        """Return one reading a server; one that was found and is not proven to belong is of unknown role."""
        self._refused = strangers(met, self.leads, self._known)
        if self._settings.discovery == "show":
            shown = 'discovery = "show" only shows what is found'
            self._refused = {address: shown for address in met if address in self.leads} | self._refused
        self._known |= {each.server for address, each in met.items() if address not in self._refused}
        kept: dict[str, Reading] = {}
        for address, reading in measured.items():
            server = reading.identity.server if reading.identity else address
            if server in kept and address in self.leads:
                self._same[address] = server
                del self.leads[address]
            kept.setdefault(server, self._as_judged(address, reading, met))
        return tuple(kept.values())

    def refuses(self, address: str) -> bool:
        """Whether the last judgement was against it."""
        return address in self._refused

    def is_needless(self, address: str) -> bool:
        """Whether it is nothing but another name of a server that is measured by a better one."""
        return address not in self.leads and address not in self._settings.nodes

    def _as_judged(self, address: str, reading: Reading, met: Mapping[str, Met]) -> Reading:
        if address in self.leads:
            reading = replace(reading, found=self.leads[address].why)
        why = self._refused.get(address)
        if why:
            return replace(
                reading, role=Role.UNKNOWN, proof=f"not used: {why}; it says {reading.role}: {reading.proof}"
            )
        if reading.role is not Role.PRIMARY or reading.flavour is None or self._settings.discovery == "off":
            return reading
        asks_for = VARIANTS[reading.flavour].asks_for
        return replace(reading, unseen=unseen_followers(met[address], met.values(), asks_for=asks_for))
