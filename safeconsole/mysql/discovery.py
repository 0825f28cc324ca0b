"""Discovers further nodes of a cluster from its nodes' replication status."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from safeconsole.config.settings import ClusterSettings
from safeconsole.dialects import DIALECTS
from safeconsole.errors import ConfigurationError
from safeconsole.mysql.dialling import NodeAddress, split_address
from safeconsole.mysql.topology import NodeFacts
from safeconsole.patterns import late
from safeconsole.policy.readings import Reading
from safeconsole.sqltext.vocabulary import Role

# Who else belongs to a cluster, from what its nodes say of each other: pure, and nobody is believed by a name alone.
#
# A found address is a lead. It counts only when who answers there is who was named, and when replication, or a group,
# ties that server to one that is known already.

_AURORA_ENDPOINT = late(r"[^.]+\.(?:cluster-(?:ro-|custom-)?)?(?P<rest>[^.]+\.[^.]+\.rds\.amazonaws\.com(?:\.cn)?)")
_AURORA_INSTANCE = late(r"[0-9A-Za-z-]+", re.ASCII)


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Another server as a node reports it.

    Attributes:
        address: "host:port", "" when it did not say where.
        server: its uuid, its server id on MariaDB, its instance's name on Aurora, or "" when it did not say who.
    """

    address: str
    server: str = ""


class Followers(msgspec.Struct, frozen=True, kw_only=True):
    """The replicas that copy from a node, as far as the node shows them.

    Attributes:
        seen: those that it told of.
        count: how many there are, None when this account may not see that.
    """

    seen: tuple[Peer, ...] = ()
    count: int | None = None


class Company(msgspec.Struct, frozen=True, kw_only=True):
    """The sources, replicas and group members of a node.

    Attributes:
        followers: what copies from it, as far as this account may see that.
        following: how many copy from it, None when this account may not see that.
        group: what its group is called, or "".
        members: the group, itself among them.
    """

    sources: tuple[Peer, ...] = ()
    followers: tuple[Peer, ...] = ()
    following: int | None = None
    group: str = ""
    members: tuple[Peer, ...] = ()


class Met(msgspec.Struct, frozen=True, kw_only=True):
    """A measured node that answered."""

    server: str
    place: NodeAddress
    company: Company


class Lead(msgspec.Struct, frozen=True, kw_only=True):
    """An address that a node reported.

    Attributes:
        address: "host:port".
        server: who must answer there, or "" when nobody said.
        why: how it was found, in words.
        by_local: whether who named it is on this computer, so that its loopback addresses mean ours.
    """

    address: str
    server: str
    why: str
    by_local: bool


def leads_of(node: str, met: Met) -> tuple[Lead, ...]:
    """Return the addresses of other servers that a node reports."""
    spoken = (
        *((peer, f"the source of {node}") for peer in met.company.sources),
        *((peer, f"copies from {node}") for peer in met.company.followers),
        *((_placed(peer, met.place), f"in the group of {node}") for peer in met.company.members),
    )
    return tuple(
        Lead(address=peer.address, server=peer.server, why=why, by_local=met.place.is_local)
        for peer, why in spoken
        if _can_mean_the_same_here(peer.address, met.place)
    )


def _placed(peer: Peer, place: NodeAddress) -> Peer:
    endpoint = _AURORA_ENDPOINT.fullmatch(place.host)
    if peer.address or not endpoint or not _AURORA_INSTANCE.fullmatch(peer.server):
        return peer
    return Peer(address=f"{peer.server}.{endpoint['rest']}:{place.port}", server=peer.server)


def _can_mean_the_same_here(address: str, place: NodeAddress) -> bool:
    host = _host_of(address)
    # "localhost" said by another host is another host.
    return bool(host) and (place.is_local or not (host == "localhost" or host.startswith("127.") or host == "::1"))


def _host_of(address: str) -> str:
    try:
        return split_address(address)[0]
    except ConfigurationError:
        return ""


def address_of(host: object, port: object) -> str:
    """Return "host:port" as a server reports it, or "" if one of the two is missing."""
    name, number = str(host or "").strip("[]"), str(port or "")
    if not name or not number.isdecimal() or not 0 < int(number) < 65536:
        return ""
    return f"[{name}]:{number}" if ":" in name else f"{name}:{number}"


def why_not_asked(lead: Lead, place: NodeAddress, settings: ClusterSettings) -> str:
    """Return why no password may be sent to a discovered address, or "".

    Whoever may register as a replica chooses the name under which it is found, and a public authority vouches for
    names that anybody can have. A private one, or the name of a configured node, is what the configuration vouches for.

    Args:
        place: what the address resolved to.
    """
    if place.is_local:
        return "" if lead.by_local else "it leads to this computer"
    if settings.tls.ca or place.host in {_host_of(address) for address in settings.nodes}:
        return ""
    return "nothing in the configuration vouches for it: add it to nodes, or set tls.ca to a private authority"


def is_called(server: str, name: str) -> bool:
    """Whether a server is the one that another reports, compared by uuid or instance, else by server id."""
    return bool(name) and (server == name or server.endswith(f"/{name}"))


def _is_source(server: str, addresses: Iterable[str], source: Peer) -> bool:
    """Whether a server is the source that another replicates from.

    A uuid is one server's; a server id is any cluster's first, so that the address, or at least the port, must agree.
    """
    if not is_called(server, source.server) or server == source.server:
        return bool(source.server) and server == source.server
    port = source.address.rpartition(":")[2]
    return source.address in addresses or server.removesuffix(f"/{source.server}").endswith(f":{port}")


def strangers(met: Mapping[str, Met], leads: Mapping[str, Lead], known: Iterable[str]) -> dict[str, str]:
    """Return the discovered addresses not proven to belong to the cluster, each with the reason.

    Args:
        met: who answered, by address.
        leads: those of the addresses that were found; all others are configured.
        known: identities that belonged to it before; one that copies from a stranger since does no longer.
    """
    belongs = {address: each for address, each in met.items() if address not in leads}
    found = {address: each for address, each in met.items() if address in leads}
    refused = {
        address: f"the server that answers is not {leads[address].server}, which is {leads[address].why}"
        for address, each in found.items()
        if leads[address].server and not is_called(each.server, leads[address].server)
    }
    waiting = {address: each for address, each in found.items() if address not in refused}
    while tied := [address for address, each in waiting.items() if _is_tied(address, each, belongs, known)]:
        for address in tied:
            belongs[address] = waiting.pop(address)
    why = "nothing shows that it copies from a node of this cluster, or one of them from it"
    return {**refused, **dict.fromkeys(waiting, why)}


def _is_tied(address: str, each: Met, belongs: Mapping[str, Met], known: Iterable[str]) -> bool:
    members: dict[str, tuple[str, ...]] = dict.fromkeys(known, ())
    members |= {other.server: (place,) for place, other in belongs.items()}
    return (
        any(_is_source(server, at, source) for server, at in members.items() for source in each.company.sources)
        or any(
            _is_source(each.server, (address,), source)
            for other in belongs.values()
            for source in other.company.sources
        )
        or any(is_called(each.server, peer.server) for other in belongs.values() for peer in other.company.members)
        or any(each.company.group == other.company.group != "" for other in belongs.values())
        or (each.server in members and not each.company.sources)
    )


def unseen_followers(each: Met, met: Iterable[Met], *, asks_for: str) -> str:
    """Return which replicas the account may not see, as a line for `topology`, or "".

    Args:
        met: every server that answered.
        asks_for: what to do so that they are seen.
    """
    if each.company.group or each.company.members:
        return ""
    if each.company.following is None:
        return f"whether others copy from it cannot be seen: {asks_for}"
    seen = sum(any(is_called(each.server, source.server) for source in other.company.sources) for other in met)
    missing = each.company.following - seen
    return f"{missing} more that copy from it are not found: {asks_for}" if missing > 0 else ""


def company_of(facts: NodeFacts, followers: Followers, listed: tuple[Peer, ...] = ()) -> Company:
    """Return whom a node speaks of.

    Args:
        listed: the instances of its Multi-AZ cluster of RDS.
    """
    sources = (
        Peer(address=address_of(*channel.source.rpartition(":")[::2]), server=channel.source_id)
        for channel in facts.channels or ()
    )
    member = facts.member
    return Company(
        sources=tuple(sources),
        followers=followers.seen,
        following=followers.count,
        group=member.group if member else "",
        members=tuple(Peer(address=address, server=server) for address, server in member.members) if member else listed,
    )


def follower_of(row: Mapping[str, Any]) -> Peer:
    """Return a replica from a row of SHOW REPLICAS (MySQL) or SHOW SLAVE HOSTS (MariaDB, and MySQL before 8.0.22)."""
    values = {name.lower(): str(value or "") for name, value in row.items()}
    uuid = next((values[name] for name in ("replica_uuid", "slave_uuid") if values.get(name)), "")
    return Peer(address=address_of(values.get("host"), values.get("port")), server=uuid or values.get("server_id", ""))


class Found:
    """The discovered nodes of one cluster; used by one thread at a time.

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
        """Add the addresses that answering servers report; return those not asked yet.

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
        """Return one reading for each server; a discovered one not proven to belong has an unknown role."""
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
        return address in self._refused

    def is_needless(self, address: str) -> bool:
        """Whether it is a second address of a server already measured under a better one."""
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
        its_own = met.get(address)
        if its_own is None:
            # The engine was closed while it measured: nobody reads this.
            return reading
        asks_for = DIALECTS[reading.flavour].server.asks_for
        return replace(reading, unseen=unseen_followers(its_own, met.values(), asks_for=asks_for))
