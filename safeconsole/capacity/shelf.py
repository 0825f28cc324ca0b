"""Capacity reports as private files: drafts as plain lines, kept reports compressed.

A kept report is written to a temporary file and renamed, so that a crash leaves the draft or the report.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote

from safeconsole.capacity.reports import KEPT_REPORTS, ReportShelf
from safeconsole.config.settings import CapacitySettings
from safeconsole.errors import ConfigurationError

MOST_RUNS = 8
"""Concurrent runs that may ask the same of one server, each with its own draft."""

_SUFFIX = ".jsonl.gz"


class FileShelf:
    """Reports below one directory, a folder for each cluster; see `ReportShelf`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def claimed(self, cluster: str, draft: str) -> Iterator[str]:
        for number in range(MOST_RUNS):
            name = f"{draft}-{number}" if number else draft
            descriptor = self._lock(cluster, name)
            if descriptor is None:
                continue
            try:
                yield name
            finally:
                # The file stays: whoever waited to open it would lock one that is gone.
                os.close(descriptor)
            return
        raise ConfigurationError(
            f"{MOST_RUNS} runs of capacity on {cluster} are already active",
            instead="wait for one of them; --last shows the last report",
        )

    def _lock(self, cluster: str, draft: str) -> int | None:
        path = self._draft(cluster, draft).with_suffix(".lock")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"capacity cannot write {path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return None
            raise ConfigurationError(f"capacity cannot lock {path}: {error.strerror}") from error
        return descriptor

    def append(self, cluster: str, draft: str, line: str) -> None:
        path = self._draft(cluster, draft)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(f"{line}\n")
        except OSError as error:
            raise ConfigurationError(f"capacity cannot write {path}: {error.strerror}") from error

    def draft(self, cluster: str, draft: str) -> Iterator[str]:
        with suppress(FileNotFoundError), self._draft(cluster, draft).open(encoding="utf-8", errors="replace") as lines:
            yield from lines

    def drop(self, cluster: str, draft: str) -> None:
        self._draft(cluster, draft).unlink(missing_ok=True)

    def keep(self, cluster: str, draft: str, name: str) -> None:
        """Turn a draft into a report, and remove the oldest above `KEPT_REPORTS`."""
        place = self._folder(cluster) / f"{quote(name, safe='')}{_SUFFIX}"
        try:
            with _partial(place.parent) as partial:
                with gzip.open(partial, "wt", encoding="utf-8", compresslevel=5) as stream:
                    stream.writelines(self.draft(cluster, draft))
                partial.replace(place)
            self.drop(cluster, draft)
            for old in self.kept(cluster)[:-KEPT_REPORTS]:
                (place.parent / f"{quote(old, safe='')}{_SUFFIX}").unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(f"capacity cannot write {place}: {error.strerror}") from error

    def kept(self, cluster: str) -> tuple[str, ...]:
        found = self._folder(cluster).glob(f"*{_SUFFIX}")
        return tuple(sorted(unquote(path.name.removesuffix(_SUFFIX)) for path in found))

    def lines(self, cluster: str, name: str) -> Iterator[str]:
        path = self._folder(cluster) / f"{quote(name, safe='')}{_SUFFIX}"
        try:
            with gzip.open(path, "rt", encoding="utf-8") as stream:
                yield from stream
        except (OSError, EOFError) as error:
            raise ConfigurationError(f"capacity report {path} cannot be read: {error}") from error

    def _folder(self, cluster: str) -> Path:
        # The prefix keeps a cluster named `..` inside the directory.
        return self._directory / f"of-{quote(cluster, safe='')}"

    def _draft(self, cluster: str, draft: str) -> Path:
        return self._folder(cluster) / f"{quote(draft, safe='')}.draft"


@contextmanager
def _partial(directory: Path) -> Iterator[Path]:
    descriptor, name = tempfile.mkstemp(dir=directory, suffix=".partial")
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def open_shelf(directory: Path, settings: CapacitySettings, environ: Mapping[str, str]) -> ReportShelf:
    """Return this computer's reports, or the team's where they are configured. Raises ConfigurationError."""
    here = FileShelf(directory)
    if not settings.reports:
        return here
    # Imported here: only who shares their reports pays for it.
    from safeconsole.capacity.shared_shelf import open_shared_shelf  # noqa: PLC0415

    return open_shared_shelf(settings, here, environ)
