"""The options of `install`, and its counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Times, all in seconds and > 0; else ValueError.

    Attributes:
        max_age_seconds: age at which a connection is replaced, individually reduced by up to a tenth.
        prove_seconds: how long the proven role of a server is trusted.
        patience_seconds: how long a request waits for a fit node before it fails.
        connect_seconds: for opening a connection, where the URL does not say, and for each question asked of a node.
        jitter_seconds: greatest delay of a new connection after the pool was invalidated.
        move_seconds: about the time between two connections that are moved to a node with fewer of them.
        probe_seconds: longest time between two probes of an unfit node; the first follow at once.
    """

    max_age_seconds: float = 900.0
    prove_seconds: float = 1.0
    patience_seconds: float = 10.0
    connect_seconds: float = 2.0
    jitter_seconds: float = 0.25
    move_seconds: float = 0.05
    probe_seconds: float = 5.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            # `not >` rather than `<=`: a NaN must be refused too.
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above zero, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Events of one engine's connections since `install`.

    Attributes:
        checkouts: connections handed to the application.
        connects: connections opened, and proven to be what was asked for.
        connect_failures: attempts that failed, or reached a server of another role.
        proofs: role checks of pooled connections.
        wrong_role: servers found with another role than before.
        closed: pooled connections found closed by the server, or lost when asked for their role.
        too_old: connections replaced for their age.
        moved: connections replaced to spread them evenly.
        invalidations: errors of the failover class, each of which empties the pool.
        waits: connections that had to wait for a fit node.
        unfit: nodes that get no connection now, and why.
    """

    checkouts: int = 0
    connects: int = 0
    connect_failures: int = 0
    proofs: int = 0
    wrong_role: int = 0
    closed: int = 0
    too_old: int = 0
    moved: int = 0
    invalidations: int = 0
    waits: int = 0
    spread: Mapping[str, int] = field(default_factory=dict)
    unfit: Mapping[str, str] = field(default_factory=dict)
