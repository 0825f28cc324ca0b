"""Tokens: issued once, stored as hashes, listed, revoked; what proves one, and what does not."""

import hashlib
import json
import os
import stat

import pymysql._auth
import pytest

from safeconsole.app import Program
from safeconsole.cli.root import main
from safeconsole.errors import ConfigurationError
from safeconsole.gateway.tokens import TokenFile, double_sha256, proves_sha1, proves_sha256

NOW = 1_800_000_000.0
NONCE = bytes(range(1, 21))


@pytest.fixture
def tokens(tmp_path):
    return TokenFile(tmp_path / "gateway" / "tokens.json")


def issued(tokens, person="anna", **how):
    return tokens.issue(person, **{"now_epoch": NOW, "seconds": 60, "by": "root", **how})


def test_a_token_is_long_random_and_stored_as_its_double_hash_alone(tokens, tmp_path):
    text, stored = issued(tokens)
    other, _ = issued(tokens)
    assert text != other
    # 256 bits, in base64.
    assert len(text) >= 43
    kept = (tmp_path / "gateway" / "tokens.json").read_text()
    assert text not in kept
    assert stored.sha256 == hashlib.sha256(hashlib.sha256(text.encode()).digest()).hexdigest()
    assert stored.sha1 == ""


def test_nobody_else_can_read_the_file(tokens, tmp_path):
    issued(tokens)
    path = tmp_path / "gateway" / "tokens.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o666)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        TokenFile(path).all()


@pytest.mark.parametrize("content", [b"", b"[]]", b'[{"id": 1}]', b"{}", b"\xff"])
def test_a_file_that_is_no_list_of_tokens_lets_nobody_in(tokens, tmp_path, content):
    issued(tokens)
    path = tmp_path / "gateway" / "tokens.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="no list of tokens"):
        tokens.all()
    assert not tokens.valid("x", NOW)


def test_the_drivers_own_proof_is_known_again_and_no_other(tokens):
    text, stored = issued(tokens, native=True)
    sha2 = pymysql._auth.scramble_caching_sha2(text.encode(), NONCE)
    native = pymysql._auth.scramble_native_password(text.encode(), NONCE)
    assert tokens.proven_by_sha256(sha2, NONCE, NOW) == stored
    assert tokens.proven_by_sha1(native, NONCE, NOW) == stored
    for wrong in (b"", sha2[:-1], bytes(32), native, sha2[:-1] + bytes([sha2[-1] ^ 1])):
        assert tokens.proven_by_sha256(wrong, NONCE, NOW) is None
        assert tokens.proven_by_sha1(wrong, NONCE, NOW) == (stored if wrong == native else None)
    assert tokens.proven_by_sha256(sha2, NONCE[::-1], NOW) is None
    # Who has the file still cannot log in with what it holds.
    assert not proves_sha256(bytes.fromhex(stored.sha256), NONCE, bytes.fromhex(stored.sha256))
    assert not proves_sha1(bytes.fromhex(stored.sha1), NONCE, bytes.fromhex(stored.sha1))


def test_a_token_without_the_older_hash_is_not_proven_by_the_older_way(tokens):
    text, _ = issued(tokens)
    assert tokens.proven_by_sha1(pymysql._auth.scramble_native_password(text.encode(), NONCE), NONCE, NOW) is None


def test_a_token_counts_until_its_end_or_until_it_is_revoked(tokens, tmp_path):
    text, stored = issued(tokens)
    proof = pymysql._auth.scramble_caching_sha2(text.encode(), NONCE)
    assert tokens.proven_by_sha256(proof, NONCE, NOW + 59.9) == stored
    assert tokens.proven_by_sha256(proof, NONCE, NOW + 60) is None
    assert tokens.proven_by_sha256(proof, NONCE, NOW - 1) is None
    # Another process revokes it: the next look knows.
    TokenFile(tmp_path / "gateway" / "tokens.json").revoke(stored.id, now_epoch=NOW + 1)
    assert tokens.proven_by_sha256(proof, NONCE, NOW + 2) is None
    assert not tokens.valid(stored.id, NOW + 2)


@pytest.mark.parametrize("name", ["", "../anna", "a b", "-f", "a/b", "a\n", "x" * 65, "über"])
def test_a_name_that_could_be_a_path_or_an_option_is_no_person(tokens, name):
    with pytest.raises(ConfigurationError, match="no name"):
        issued(tokens, name)


def test_what_is_long_over_is_forgotten_with_the_next_one(tokens):
    _, first = issued(tokens)
    _, second = issued(tokens, now_epoch=NOW + 31 * 86_400)
    assert [each.id for each in tokens.all()] == [second.id]
    assert first.id != second.id


def test_double_sha256_is_what_it_says():
    assert double_sha256(b"x") == hashlib.sha256(hashlib.sha256(b"x").digest()).digest()


class Office:
    """The commands, run as one account."""

    def __init__(self, home, capsys):
        self.environ = {"HOME": str(home), "USER": "root", "PATH": os.environ["PATH"]}
        self._capsys = capsys

    def run(self, *words):
        code = main(["token", *words], Program(self.environ))
        return code, *self._capsys.readouterr()


@pytest.fixture
def office(tmp_path, capsys):
    return Office(tmp_path, capsys)


def test_issue_prints_the_token_alone_and_the_rest_beside_it(office):
    code, out, err = office.run("issue", "anna", "--for", "30m")
    assert code == 0
    assert len(out.splitlines()) == 1
    assert out.strip() not in err
    assert "for anna until" in err
    code, out, err = office.run("issue", "bot", "--agent")
    code, listed, _ = office.run("list", "--format", "json")
    assert [(row["person"], row["agent"], row["state"]) for row in json.loads(listed)] == [
        ("anna", "", "valid"),
        ("bot", "agent", "valid"),
    ]
    assert out.strip() not in listed


def test_a_revoked_token_is_listed_as_that(office):
    office.run("issue", "anna")
    _, listed, _ = office.run("list", "--format", "json")
    (row,) = json.loads(listed)
    code, _, err = office.run("revoke", row["id"])
    assert (code, f"token {row['id']} of anna is revoked" in err) == (0, True)
    _, listed, _ = office.run("list", "--format", "json")
    assert json.loads(listed)[0]["state"] == "revoked"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("issue", "anna", "--for", "soon"), "not a time such as"),
        (("issue", "anna", "--for", "0s"), "counts for up to"),
        (("issue", "anna", "--for", "99999d"), "counts for up to"),
        (("issue", "../anna"), "no name for a person"),
        (("revoke", "nothing"), "there is no token nothing"),
    ],
)
def test_what_cannot_be_is_one_line_and_code_2(office, words, said):
    code, out, err = office.run(*words)
    assert (code, out) == (2, "")
    assert said in err


def test_an_agent_issues_no_token_for_a_person(office):
    office.environ["CLAUDECODE"] = "1"
    code, out, err = office.run("issue", "anna")
    assert (code, out) == (3, "")
    assert "issues no token for a person" in err
    assert office.run("issue", "bot", "--agent")[0] == 0
