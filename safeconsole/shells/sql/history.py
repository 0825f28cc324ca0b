"""What was typed, kept for one cluster: readable by its owner alone, and without what holds a secret."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from prompt_toolkit.history import FileHistory

from safeconsole.core.redaction import may_hold_secret


def history_of(directory: str, cluster: str) -> ClusterHistory:
    """
    Return the history of a cluster.

    Raises:
        OSError: the directory or the file cannot be made.
    """
    folder = Path(directory)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{quote(cluster, safe='')}.history"
    # The mode matters at birth: a file that is readable for a moment is readable.
    os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    path.chmod(0o600)
    return ClusterHistory(str(path))


class ClusterHistory(FileHistory):
    """A history file that never holds a statement with a secret."""

    def append_string(self, string: str) -> None:
        """Remember what was typed, unless it holds a secret or repeats what came before it."""
        if may_hold_secret(string) or self.get_strings()[-1:] == [string]:
            return
        super().append_string(string)

    def load_history_strings(self) -> Iterable[str]:
        """Yield what was typed, newest first; a history that cannot be read is empty."""
        try:
            return list(super().load_history_strings())
        except (OSError, UnicodeError):
            return []
