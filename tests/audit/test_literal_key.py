"""The key that literals are hashed with."""

import pytest

from safeconsole.audit.keys import literal_key_for, new_literal_key
from safeconsole.errors import AuditUnavailableError, ConfigurationError
from tests.session.conftest import policy_of

HASHES = policy_of(literals_of={"shop.customers": "hash"})


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "literals.key"
    new_literal_key(str(path))
    return path


def test_a_policy_that_hashes_nothing_needs_no_key():
    assert literal_key_for(policy_of(literals="drop"), "/nowhere").secret == b""


def test_a_policy_that_hashes_opens_no_session_without_a_key():
    with pytest.raises(ConfigurationError, match=r"audit\.literal_key names no key") as caught:
        literal_key_for(HASHES, "")
    assert "new-key --for literals" in caught.value.instead


def test_a_new_key_is_its_owners_alone_different_each_time_and_never_overwritten(key, tmp_path):
    assert key.stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other.key"
    new_literal_key(str(other))
    one, two = (literal_key_for(HASHES, str(path)).secret for path in (key, other))
    assert len(one) == len(two) == 32
    assert one != two
    with pytest.raises(ConfigurationError, match="no key can be stored"):
        new_literal_key(str(key))


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602])
def test_a_key_that_others_can_read_or_replace_is_refused(key, mode):
    key.chmod(mode)
    with pytest.raises(AuditUnavailableError, match="audit literal key in .* can be read or replaced by others"):
        literal_key_for(HASHES, str(key))


@pytest.mark.parametrize("content", ["", "abcd", "x" * 64, "planted-secret" * 10, "ü" * 64])
def test_a_file_that_is_no_key_is_refused_without_being_quoted(key, content):
    key.write_text(content)
    with pytest.raises(AuditUnavailableError, match="not a key of 64 hexadecimal digits") as caught:
        literal_key_for(HASHES, str(key))
    assert "planted" not in repr(caught.value)


def test_a_missing_key_stops_the_road(tmp_path):
    with pytest.raises(AuditUnavailableError, match="cannot be read"):
        literal_key_for(HASHES, str(tmp_path / "gone"))
