"""A disk that fails at each single step of the write path: full, over quota, read-only, broken, half a write."""

import errno
import fcntl
import os

import pytest

from safeconsole.cli.application import exit_code_of
from safeconsole.audit.archive import open_archive
from safeconsole.clock import SystemClock
from safeconsole.audit.journal import open_journal
from safeconsole.errors import AuditUnavailableError
from safeconsole.audit.record import Ended, Intent, SessionClosed

STEPS = [(os, name) for name in ("write", "fsync", "fdatasync", "mkdir", "open", "ftruncate", "fstat")] + [
    (fcntl, "flock")
]


class FailingDisk:
    """Counts every call that touches a file, and fails one of them, or all from one on."""

    def __init__(self, patch, step, code, *, lasting=False, half=False):
        self.calls, self.step, self.code, self.lasting, self.half = 0, step, code, lasting, half
        self.failed = []
        for module, name in STEPS:
            patch.setattr(module, name, self._wrapped(getattr(module, name), name))

    def _wrapped(self, real, name):
        def call(*args, **more):
            self.calls += 1
            if self.calls == self.step or (self.lasting and self.calls > self.step):
                self.failed.append(name)
                if self.half and name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                raise OSError(self.code, os.strerror(self.code))
            return real(*args, **more)

        return call


def walk(directory, session, sent):
    """Write two statements' records as the road does, and note which of them would have been sent."""
    journal = open_journal(directory, clock=SystemClock(), session=session)
    try:
        for number in (1, 2):
            journal.append(Intent(statement=number, sql="SELECT 1", digest="d", node="n", server="s", role="primary", account="elevated",
                                  read_only=False, guards={}, limits={}, elevation="e"), durable=True)  # fmt: skip
            sent.append(number)
            journal.append(Ended(statement=number, outcome="done"))
        journal.append(SessionClosed(statements=2))
    finally:
        journal.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("how", ["once", "from then on", "half a write"])
def test_a_disk_that_fails_at_any_step_says_so_and_nothing_is_sent_without_a_durable_intent(
    directory, told, monkeypatch, code, how
):
    step = tried = 0
    while True:
        step += 1
        session, sent = f"s{step}", []
        with monkeypatch.context() as patch:
            disk = FailingDisk(patch, step, code, lasting=how == "from then on", half=how == "half a write")
            try:
                walk(directory, session, sent)
            except AuditUnavailableError as error:
                assert exit_code_of(error) == 7
                assert error.message.startswith("the audit journal"), error.message
            except OSError:
                pytest.fail(f"step {step}, {disk.failed}: not translated")
        if not disk.failed:
            break
        tried += 1
        # What comes after finds a journal that it can settle, and that holds.
        told.write_session(directory, SystemClock(), session=f"after{step}", statements=1)
        archive = open_archive(directory)
        findings = archive.verify()
        assert findings == (), (step, disk.failed, findings)
        held = {summary.session for summary in archive.sessions()}
        intents = (
            [entry.record.statement for entry in archive.entries(session) if isinstance(entry.record, Intent)]
            if session in held
            else []
        )
        assert set(sent) <= set(intents), (step, disk.failed)
    assert tried > 20, "too few steps failed to mean anything"
