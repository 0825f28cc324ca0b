"""
Capacity reports as files: drafts as plain lines, kept reports compressed, readable by their owner alone.

A kept report is written whole beside its place and moved there, so that a crash leaves the draft or the report.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from safeconsole.core.errors import ConfigurationError

KEPT_REPORTS = 100
"""Reports kept for one cluster; the oldest go."""

_SUFFIX = ".jsonl.gz"


class FileShelf:
    """Reports below one directory, a folder for each cluster; see `jobs.reports.ReportShelf`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def append(self, cluster: str, draft: str, line: str) -> None:
        """Add a line to a draft, made when missing. Raises ConfigurationError: it cannot be written."""
        path = self._draft(cluster, draft)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(f"{line}\n")
        except OSError as error:
            raise ConfigurationError(f"capacity cannot write {path}: {error.strerror}") from error

    def draft(self, cluster: str, draft: str) -> Iterator[str]:
        """Yield a draft's lines; none when there is no such draft."""
        with suppress(FileNotFoundError), self._draft(cluster, draft).open(encoding="utf-8", errors="replace") as lines:
            yield from lines

    def drop(self, cluster: str, draft: str) -> None:
        """Forget a draft."""
        self._draft(cluster, draft).unlink(missing_ok=True)

    def keep(self, cluster: str, draft: str, name: str) -> None:
        """Make a draft a report, and remove the oldest reports over `KEPT_REPORTS`."""
        place = self._folder(cluster) / f"{quote(name, safe='')}{_SUFFIX}"
        partial = place.with_suffix(".partial")
        try:
            partial.touch(mode=0o600)
            with gzip.open(partial, "wt", encoding="utf-8", compresslevel=5) as stream:
                stream.writelines(self.draft(cluster, draft))
            partial.replace(place)
            self.drop(cluster, draft)
            for old in self.kept(cluster)[:-KEPT_REPORTS]:
                (place.parent / f"{quote(old, safe='')}{_SUFFIX}").unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(f"capacity cannot write {place}: {error.strerror}") from error

    def kept(self, cluster: str) -> tuple[str, ...]:
        """Names of the reports, oldest first."""
        found = self._folder(cluster).glob(f"*{_SUFFIX}")
        return tuple(sorted(unquote(path.name.removesuffix(_SUFFIX)) for path in found))

    def lines(self, cluster: str, name: str) -> Iterator[str]:
        """Yield a report's lines. Raises ConfigurationError: it cannot be read."""
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
