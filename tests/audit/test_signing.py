"""Signed checkpoints."""

import os
import subprocess
import sys
from pathlib import Path

import keyring
import keyring.backend
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from safeconsole.audit.archive import open_archive
from safeconsole.config.credentials import list_credentials
from safeconsole.audit.journal import open_journal
from safeconsole.audit.signing import fingerprint, load_signer, new_key
from safeconsole.audit.host_log import Anchor
from safeconsole.audit.record import GENESIS, sealed_line
from safeconsole.errors import AuditUnavailableError, ConfigurationError
from safeconsole.audit.record import Noticed

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def key(tmp_path):
    """A key's file and its public half."""
    path = tmp_path / "key.pem"
    return str(path), new_key(str(path))


def write(directory, clock, key="", sessions=2):
    for _ in range(sessions):
        journal = open_journal(directory, clock=clock, signing_key=key)
        journal.append(Noticed(what="x"), durable=True)
        journal.close()


def rewrite(directory, change):
    """Rewrite the host log with a whole chain, as one who has not the key."""
    log = directory / "host.jsonl"
    previous, out = GENESIS, []
    for number, line in enumerate(log.read_bytes().splitlines()):
        anchor = change(number, msgspec.json.decode(line, type=Anchor))
        line, previous = sealed_line(msgspec.structs.replace(anchor, previous=previous, hash=""))
        out.append(line + b"\n")
    log.write_bytes(b"".join(out))


def findings(directory, public):
    return [
        (finding.number, finding.what)
        for finding in open_archive(directory, public_keys=(public,)).verify()
        if not finding.session
    ]


def test_a_signed_log_holds_and_names_its_key(directory, clock, key):
    path, public = key
    write(directory, clock, path)
    assert findings(directory, public) == []
    assert {
        msgspec.json.decode(line, type=Anchor).key for line in (directory / "host.jsonl").read_bytes().splitlines()
    } == {fingerprint(public)}


def test_a_log_rewritten_without_the_key_does_not_hold(directory, clock, key):
    path, public = key
    write(directory, clock, path)
    rewrite(
        directory,
        lambda number, anchor: (
            msgspec.structs.replace(anchor, time="2020-01-01T00:00:00.000000Z") if number == 3 else anchor
        ),
    )
    assert findings(directory, public) == [(3, "host log: its signature is not by a known key")]


def test_a_log_whose_signatures_were_taken_off_does_not_hold(directory, clock, key):
    path, public = key
    write(directory, clock, path)
    rewrite(
        directory,
        lambda number, anchor: msgspec.structs.replace(anchor, signature="", key="") if number == 3 else anchor,
    )
    assert findings(directory, public)[0][0] == 3
    rewrite(directory, lambda number, anchor: msgspec.structs.replace(anchor, signature="", key=""))
    assert findings(directory, public) == [(0, "host log: none of its lines is signed")]


def test_another_persons_key_is_not_believed(directory, clock, key, tmp_path):
    write(directory, clock, key[0])
    assert findings(directory, new_key(str(tmp_path / "other.pem")))[0] == (
        0,
        "host log: its signature is not by a known key",
    )


def test_signing_may_begin_later_and_then_goes_on(directory, clock, key):
    path, public = key
    write(directory, clock)
    write(directory, clock, path)
    assert findings(directory, public) == []
    lines = len((directory / "host.jsonl").read_bytes().splitlines())
    write(directory, clock, sessions=1)
    assert findings(directory, public) == [(lines, "host log: it is not signed")]


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602, 0o666])
def test_a_key_that_others_may_read_or_replace_is_refused(key, mode):
    Path(key[0]).chmod(mode)
    with pytest.raises(AuditUnavailableError, match="by others"):
        load_signer(key[0])


def test_a_key_that_is_missing_or_none_stops_the_road_without_showing_it(tmp_path, directory, clock):
    with pytest.raises(AuditUnavailableError, match="no such file"):
        open_journal(directory, clock=clock, signing_key="/no/such.pem")
    for content in (b"hunter2", b"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"):
        path = tmp_path / "odd.pem"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(AuditUnavailableError, match="not an unencrypted PEM key") as caught:
            load_signer(str(path))
        assert "hunter2" not in str(caught.value.message)
        assert caught.value.__cause__ is None
    assert not directory.exists()


def test_a_key_is_never_overwritten_and_public_keys_are_checked(key, directory):
    with pytest.raises(ConfigurationError, match="file exists"):
        new_key(key[0])
    with pytest.raises(ConfigurationError, match="not a public key"):
        open_archive(directory, public_keys=("zz",)).verify()


def test_nothing_is_imported_for_signing_when_no_key_is_configured(directory):
    code = (
        "import sys; from pathlib import Path; from safeconsole.audit.journal import open_journal;"
        "from safeconsole.clock import SystemClock;"
        "open_journal(Path(sys.argv[1]), clock=SystemClock()).close(); print('cryptography' in sys.modules, 'keyring' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, directory],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )
    assert out.stdout.split() == ["False", "False"], out.stderr


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that is a dictionary."""

    priority = 1

    def __init__(self):
        super().__init__()
        self.stored = {}

    def get_password(self, service, username):
        return self.stored.get((service, username))

    def set_password(self, service, username, password):
        self.stored[service, username] = password


@pytest.fixture
def in_keyring():
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())
    yield
    keyring.set_keyring(before)


def test_a_key_may_live_in_the_keyring_where_no_list_of_passwords_names_it(directory, clock, in_keyring):
    with pytest.raises(AuditUnavailableError, match="no audit signing key in the keyring") as caught:
        open_journal(directory, clock=clock, signing_key="keyring")
    assert caught.value.instead
    public = new_key("keyring")
    write(directory, clock, "keyring")
    assert findings(directory, public) == []
    assert list_credentials() == ()
    with pytest.raises(ConfigurationError, match="already"):
        new_key("keyring")


def test_another_kind_of_key_is_refused(tmp_path):
    path = tmp_path / "rsa.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(AuditUnavailableError, match="not an Ed25519 key"):
        load_signer(str(path))


def test_a_signer_does_not_show_its_key(key):
    signer = load_signer(key[0])
    assert repr(signer) == f"KeySigner({fingerprint(key[1])})"
