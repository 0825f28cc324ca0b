"""What a policy says of what code in the Python console does beside the gate."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Fencing(StrEnum):
    """What a fence does."""

    REFUSE = "refuse"
    RECORD = "record"


class FenceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    What each fence does; refusing is recorded too. Tampering with the gate always ends the session.

    Attributes:
        sockets: connections to the cluster's nodes that are not the engine's.
        programs: other programs, and copies of this process.
        memory: code of the person's own that reaches into memory.
        journal: changes in the journal's directory.
    """

    sockets: Fencing = Fencing.REFUSE
    programs: Fencing = Fencing.REFUSE
    memory: Fencing = Fencing.REFUSE
    journal: Fencing = Fencing.REFUSE
