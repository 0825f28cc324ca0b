"""Keeping the journals of this computer: retention, copies, recordings, keys; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safeconsole.core.settings import AuditSettings
from safeconsole.interfaces import Clock

if TYPE_CHECKING:
    from safeconsole.adapters.local.pruning import Pruned
    from safeconsole.adapters.local.shipping import Shipped
    from safeconsole.core.recordable import Recorded


class JournalKeeping:
    """One audit directory and what is configured for it."""

    def __init__(self, directory: Path, settings: AuditSettings, environ: Mapping[str, str], clock: Clock) -> None:
        self._directory = directory
        self._settings = settings
        self._environ = environ
        self._clock = clock

    def prune(self, *, remove_before: str, pack_before: str, dry: bool) -> tuple[Pruned, ...]:
        """Remove and pack sessions opened before these UTC times; see `pruning.prune`."""
        from safeconsole.adapters.local.archive import open_archive  # noqa: PLC0415
        from safeconsole.adapters.local.hostlog import open_host_log  # noqa: PLC0415
        from safeconsole.adapters.local.pruning import prune  # noqa: PLC0415
        from safeconsole.adapters.local.reviews import REVIEWS, reviews_in  # noqa: PLC0415

        archive = open_archive(self._directory, public_keys=self._settings.public_keys)
        host_log = open_host_log(self._directory, self._clock, self._settings.signing_key)
        reviews = reviews_in(self._directory / REVIEWS)
        return prune(archive, host_log, reviews, remove_before=remove_before, pack_before=pack_before, dry=dry)

    def ship(self) -> tuple[Shipped, ...]:
        """Send all that the configured sinks have not taken yet. Raises ConfigurationError for a sink that is none."""
        from safeconsole.adapters.local.shipping import open_shipper  # noqa: PLC0415

        shipper = open_shipper(self._directory, self._settings, self._environ)
        return shipper.ship() if shipper else ()

    def recording(self, session: str) -> Recorded:
        """What a session's terminal showed. Raises ConfigurationError without one."""
        from safeconsole.adapters.local.recording import read_recording  # noqa: PLC0415

        return read_recording(self._directory, session)

    def new_signing_key(self, where: str) -> str:
        """Make a key in a file or the keyring, and return its public half. Raises ConfigurationError."""
        from safeconsole.adapters.local.signing import new_key  # noqa: PLC0415

        return new_key(where)

    def new_literal_key(self, where: str) -> None:
        """Make the key that literals are hashed with, in a file or the keyring. Raises ConfigurationError."""
        from safeconsole.adapters.local.literal_key import new_literal_key  # noqa: PLC0415

        new_literal_key(where)
