"""Where requests and answers lie between computers: a shared directory, or a table of the team's database.

Nothing that lies there is believed: answers are signed, and whoever asked takes what answers exactly
their request alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path
from typing import Protocol

from safeconsole.approvals.requests import ApprovalRequest, request_code, request_from_code
from safeconsole.audit.files import open_appending, write_whole
from safeconsole.errors import ConfigurationError, RefusedError

LARGEST_ANSWER_BYTES = 64 * 1024
LONGEST_NAME = 100

ANSWERED = RefusedError("the request was answered already", instead="it counts once; nothing is left to do")

WaitingByName = tuple[tuple[str, ApprovalRequest], ...]


class Mailbox(Protocol):
    """Every method raises ConfigurationError where it cannot be used."""

    def put(self, request: ApprovalRequest) -> str:
        """Store a request, and return its name there."""
        ...

    def withdraw(self, request: ApprovalRequest) -> None:
        """Nobody waits for an answer any more; never raises."""
        ...

    def answer_to(self, request: ApprovalRequest) -> str:
        """Return the answer's text, "" while there is none."""
        ...

    def store_answer(self, request: ApprovalRequest, text: str) -> None:
        """Store an answer, never replacing one. Raises RefusedError: it was answered already."""
        ...

    def text_of(self, name: str) -> str:
        """Return the text of the request with a name."""
        ...

    def waiting(self) -> WaitingByName:
        """Return unanswered requests by name, what expires first before the others."""
        ...

    def forget_old(self) -> None:
        """Remove what expired long ago, where nobody else does."""
        ...


def name_of(request: str) -> str:
    """Return the name of a request by its id."""
    # The id comes from another computer's text: it MUST not be able to name a path.
    return re.sub(r"[^A-Za-z0-9-]", "-", request)[:LONGEST_NAME]


class DirectoryMailbox:
    """A shared directory. Whoever can write to it can remove a request or add an answer, but cannot forge one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, request: ApprovalRequest) -> str:
        path = paths_of(self._directory, request.id)[0]
        try:
            write_new(path, request_code(request))
        except OSError as error:
            raise ConfigurationError(
                f"approvals.directory: a request for approval cannot be put into {self._directory}: {_said(error)}"
            ) from error
        return path.stem

    def withdraw(self, request: ApprovalRequest) -> None:
        with contextlib.suppress(OSError):
            paths_of(self._directory, request.id)[0].unlink(missing_ok=True)

    def answer_to(self, request: ApprovalRequest) -> str:
        try:
            return text_of(paths_of(self._directory, request.id)[1])
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise ConfigurationError(f"approvals.directory {self._directory}: {_said(error)}") from error

    def store_answer(self, request: ApprovalRequest, text: str) -> None:
        try:
            write_new(paths_of(self._directory, request.id)[1], text)
        except FileExistsError:
            raise ANSWERED from None
        except OSError as error:
            raise ConfigurationError(f"approvals.directory: {_said(error)}") from error

    def text_of(self, name: str) -> str:
        try:
            return text_of(paths_of(self._directory, name)[0])
        except OSError as error:
            raise ConfigurationError(
                f"there is no request {name} in {self._directory}: {_said(error)}",
                instead="it goes when it was answered, given up or has expired; the console that asks shows its name",
            ) from error

    def waiting(self) -> WaitingByName:
        directory, found = self._directory, []
        try:
            names = [path.name for path in directory.iterdir() if path.suffix == ".request" and path.name[0] != "."]
        except OSError as error:
            raise ConfigurationError(f"approvals.directory {directory}: {_said(error)}") from error
        for name in names:
            # What others put there may be anything, and may be gone by now.
            with contextlib.suppress(OSError, ValueError):
                request = request_from_code(text_of(directory / name))
                stem = paths_of(directory, request.id)[0].stem
                if stem == Path(name).stem and not paths_of(directory, request.id)[1].exists():
                    found.append((stem, request))
        still = [each for each in found if time.time() < each[1].expires_epoch]
        return tuple(sorted(still, key=lambda each: each[1].expires_epoch))

    def forget_old(self) -> None:
        """Remove nothing: consoles take their requests away, and answers belong to whoever wrote them."""


def paths_of(directory: Path, request: str) -> tuple[Path, Path]:
    """Return the paths of a request and its answer, by the request's id."""
    name = name_of(request)
    return directory / f"{name}.request", directory / f"{name}.answer"


def text_of(path: Path) -> str:
    # What others put there may be no file at all; nobody is to wait for a pipe.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        return (file.read(LARGEST_ANSWER_BYTES) or b"").decode("utf-8", "replace")


def write_new(path: Path, text: str) -> None:
    """Write a file that the group may read: completely or not at all, never replacing one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = open_appending(draft, new=True)
    try:
        write_whole(descriptor, f"{text}\n".encode())
        os.fchmod(descriptor, 0o640)
        os.link(draft, path)
    finally:
        os.close(descriptor)
        draft.unlink()


def _said(error: OSError) -> str:
    return (error.strerror or "unknown error").lower()
