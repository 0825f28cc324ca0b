"""Stored requests: an agent stores one, a person approves it, and a later session uses the answer.

So is an approval that a person waited for, and whose attempt sent nothing: it waits for the next one.

The files are written by the agent's own account, so none of it is trusted: the answer is a signature over every field,
the request must ask for exactly what is asked for now, and it is used once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from safeconsole.approvals.mailbox import DirectoryMailbox, Mailbox, name_of, paths_of, text_of, write_new
from safeconsole.approvals.requests import (
    Approval,
    ApprovalRequest,
    ApproverRefusal,
    Waiting,
    answer_code,
    approval_from_code,
    asks_the_same,
    objection_to,
    refusal_in,
    request_code,
    request_from_code,
    request_hash,
)
from safeconsole.audit.files import make_private_directory, open_appending, sync_directory
from safeconsole.config.settings import ApprovalSettings
from safeconsole.errors import ConfigurationError, RefusedError

# What lies here is written by the agent's own account, so none of it is believed: the answer is a signature over
# every field of the request, the request has to ask for exactly what is asked for now, and it counts once.


FOLDER = "requests"


class WaitingRequests:
    """The stored requests of one account on this computer.

    Args:
        directory: the audit directory.
        settings: trusted approvers, and where answers are stored.
        given: an answer that was brought by hand, "" for none.
        mailbox: where requests lie for other computers, None for the one that the settings name.
    """

    def __init__(
        self, directory: Path, settings: ApprovalSettings, *, given: str = "", mailbox: Mailbox | None = None
    ) -> None:
        self._directory = directory / FOLDER
        self._mailbox = mailbox or mailbox_of(settings, {})
        self._settings = settings
        self._given = given

    def earlier(self, request: ApprovalRequest) -> tuple[ApprovalRequest, Approval] | None:
        from safeconsole.audit.signing import is_signed_by  # noqa: PLC0415 (slow to import)

        for waiting in self._for_the_same(request):
            answer = self._answer_to(waiting)
            if answer is None or (self._used(waiting).exists() and not self._given):
                continue
            wrong = objection_to(
                answer,
                waiting,
                approvers=self._settings.approvers,
                now_epoch=time.time(),
                holds=is_signed_by,
                servers=self._settings.servers,
            )
            if not wrong and not self._claim(waiting):
                wrong = "it was used already, and an approval counts once"
            if wrong:
                raise RefusedError(f"the approval does not count: {wrong}", instead="ask for it again")
            return waiting, answer
        if self._given:
            raise RefusedError(
                "the approval given answers no request that waits here for exactly this statement, server and reason",
                instead="run it without an approval: that asks for one",
            )
        return None

    def give_back(self, request: ApprovalRequest, approval: Approval) -> None:
        """Make an approval usable again; one obtained by waiting is stored from now on.

        Raises ConfigurationError: it cannot be stored.
        """
        try:
            make_private_directory(self._directory)
            stored, answered = paths_of(self._directory, request.id)
            if not stored.exists():
                write_new(answered, answer_code(approval))
                write_new(stored, request_code(request))
            self._used(request).unlink(missing_ok=True)
            sync_directory(self._directory)
        except OSError as error:
            raise ConfigurationError(f"an approval cannot be put back in {self._directory}: {_said(error)}") from error

    def put_down(self, request: ApprovalRequest) -> Waiting:
        try:
            make_private_directory(self._directory)
            self._clear_away()
            for waiting in self._for_the_same(request):
                if not self._used(waiting).exists():
                    return self._shown(waiting)
            write_new(paths_of(self._directory, request.id)[0], request_code(request))
            sync_directory(self._directory)
        except OSError as error:
            raise ConfigurationError(
                f"a request for approval cannot be put into {self._directory}: {_said(error)}"
            ) from error
        if self._mailbox is not None:
            self._mailbox.put(request)
        return self._shown(request)

    def _shown(self, request: ApprovalRequest) -> Waiting:
        by_hand = self._mailbox is None
        code = request_code(request) if by_hand else name_of(request.id)
        return Waiting(request=request, code=code, by_hand=by_hand)

    def _for_the_same(self, request: ApprovalRequest) -> Iterator[ApprovalRequest]:
        for waiting in self._kept():
            if asks_the_same(waiting, request) and time.time() < waiting.expires_epoch <= request.expires_epoch:
                yield waiting

    def _kept(self) -> Iterator[ApprovalRequest]:
        for path in sorted(self._directory.glob("*.request")):
            with contextlib.suppress(OSError, ValueError):
                yield request_from_code(text_of(path))

    def _answer_to(self, waiting: ApprovalRequest) -> Approval | None:
        text = self._given
        if not text and self._mailbox is not None:
            text = self._mailbox.answer_to(waiting)
        if not text:
            with contextlib.suppress(FileNotFoundError):
                text = text_of(paths_of(self._directory, waiting.id)[1])
        if not text.strip():
            return None
        refusal = refusal_in(text)
        if refusal is not None:
            raise refused(refusal)
        try:
            answer = approval_from_code(text)
        except ValueError as error:
            raise RefusedError(f"not an approval: {error}") from None
        # One that was brought says itself which request it is for.
        return None if self._given and answer.request != request_hash(waiting) else answer

    def _used(self, waiting: ApprovalRequest) -> Path:
        return paths_of(self._directory, waiting.id)[0].with_suffix(".used")

    def _claim(self, waiting: ApprovalRequest) -> bool:
        try:
            os.close(open_appending(self._used(waiting), new=True))
            sync_directory(self._directory)
        except FileExistsError:
            return False
        except OSError as error:
            raise ConfigurationError(f"an approval cannot be taken in {self._directory}: {_said(error)}") from error
        return True

    def _clear_away(self) -> None:
        for waiting in list(self._kept()):
            if waiting.expires_epoch <= time.time():
                if self._mailbox is not None:
                    self._mailbox.withdraw(waiting)
                here, answered = paths_of(self._directory, waiting.id)
                for path in (self._used(waiting), answered, here):
                    with contextlib.suppress(OSError):
                        path.unlink()


def mailbox_of(settings: ApprovalSettings, environ: Mapping[str, str]) -> Mailbox | None:
    """Return the configured place, None where requests travel by hand. Raises ConfigurationError."""
    if settings.directory:
        return DirectoryMailbox(Path(settings.directory))
    if not settings.database:
        return None
    # Imported here: only who has such a database pays for it.
    from safeconsole.approvals.request_database import open_mailbox  # noqa: PLC0415

    return open_mailbox(settings, environ)


def refused(refusal: ApproverRefusal) -> RefusedError:
    return RefusedError(
        f"{refusal.refused_by} refused it: {refusal.reason}", instead="do it another way, or talk to them and ask again"
    )


def _said(error: OSError) -> str:
    return (error.strerror or "unknown error").lower()
