"""Policy files are found, read strictly, and refused when others may change them."""

import hashlib
import os
import socket

import msgspec
import pytest

from safeconsole.config.policies import LARGEST_FILE_BYTES, PolicyFiles, read_form_of
from safeconsole.errors import ConfigurationError, PolicyInvalidError
from safeconsole.sqltext.vocabulary import Verdict

GOOD = """\
mode: observe
rules:
  - id: reads
    when: stmt.plain_read
    then: allow
    limits: {run_seconds: 5}
  - id: rest
    when: "true"
    then: deny
"""


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture
def files(folder):
    return PolicyFiles(folder)


def write(folder, text, name="mine.yaml"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o644)
    return path


def refused(files, name="mine"):
    with pytest.raises(PolicyInvalidError) as refusal:
        files.load(name)
    return refusal.value.message


def planted(folder, text, **changes):
    """Write a read form that says what no text of these tests does: that the policy has one rule, and which."""
    rule = {"id": "planted", "when": "true", "then": "deny"}
    form = msgspec.to_builtins(read_form_of(text.encode(), "mine")) | {"document": {"rules": [rule]}} | changes
    return write(folder, msgspec.json.encode(form), "mine.read.json")


def test_a_read_form_of_exactly_the_text_stands_for_it(folder, files):
    write(folder, GOOD)
    planted(folder, GOOD)
    assert [rule.id for rule in files.load("mine").rules] == ["planted"]


def test_a_read_form_of_another_text_counts_for_nothing(folder, files):
    write(folder, GOOD + "# one more line\n")
    planted(folder, GOOD)
    assert [rule.id for rule in files.load("mine").rules] == ["reads", "rest"]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"text_hash": 1, "document": {}, "lines": {}}'])
def test_a_read_form_that_cannot_be_read_counts_for_nothing(folder, files, text):
    write(folder, GOOD)
    write(folder, text, "mine.read.json")
    assert [rule.id for rule in files.load("mine").rules] == ["reads", "rest"]


def test_a_read_form_that_others_may_write_is_refused(folder, files):
    write(folder, GOOD)
    planted(folder, GOOD).chmod(0o646)
    assert "may be written by everybody" in refused(files)


def test_a_policy_given_by_path_is_read_from_its_text_alone(folder, tmp_path_factory):
    path = write(folder, GOOD)
    planted(folder, GOOD)
    elsewhere = PolicyFiles(tmp_path_factory.mktemp("shipped"))
    assert [rule.id for rule in elsewhere.load(str(path)).rules] == ["reads", "rest"]


def test_a_shipped_policy_is_found_by_its_name(folder, files):
    path = write(folder, GOOD)
    policy = files.load("mine")
    assert (policy.name, policy.source, policy.observe) == ("mine", str(path), True)
    assert policy.hash == hashlib.sha256(GOOD.encode()).hexdigest()
    assert [(rule.id, rule.then, rule.line) for rule in policy.rules] == [
        ("reads", Verdict.ALLOW, 3),
        ("rest", Verdict.DENY, 7),
    ]
    assert policy.rules[0].limits == {"run_seconds": 5}


def test_a_path_is_read_wherever_it_is(folder, tmp_path_factory):
    path = write(folder, GOOD, "other.yml")
    policy = PolicyFiles(tmp_path_factory.mktemp("shipped")).load(str(path))
    assert policy.name == "other"


def test_names_are_those_of_policies_and_not_of_their_cases(folder, files):
    for name in ("b.yaml", "a.yaml", "a.cases.yaml", "notes.txt"):
        write(folder, GOOD, name)
    assert files.names() == ("a", "b")


def test_an_unknown_policy_names_those_there_are(folder, files):
    write(folder, GOOD)
    with pytest.raises(ConfigurationError) as refusal:
        files.load("nine")
    assert refusal.value.message == "no policy nine"
    assert "mine" in refusal.value.instead


def test_cases_stand_beside_their_policy(folder, files):
    write(folder, GOOD)
    assert files.cases("mine") == ()
    write(folder, "cases:\n  - {sql: select 1, rule: reads, verdict: allow}\n", "mine.cases.yaml")
    assert [case.rule for case in files.cases("mine")] == ["reads"]
    assert files.cases(str(folder / "mine.yaml")) == files.cases("mine")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ": expected `object`, got `null`"),
        ("rules: [", "mine.yaml:2: did not find expected node content"),
        ("rules:\n\t- id: a\n", "mine.yaml:2: found character"),
        ("mode: observe\nmode: enforce\nrules: []\n", "mine.yaml:2: mode is given twice"),
        ("rules:\n  - id: a\n    then: allow\n    id: b\n", "mine.yaml:4: id is given twice"),
        ("a: &x 1\nb: *x\n", "mine.yaml:1: an alias"),
        ("rules: &all\n  - *all\n", "an alias"),
        ("<<: {mode: observe}\nrules: []\n", "mine.yaml:1: a key that is not plain text"),
        ("1: 2\n", "mine.yaml:1: a key that is not plain text"),
        ("? [a]\n: b\n", "mine.yaml:1: a key that is not plain text"),
        ("rules:\n  - id: 2023-11-07\n", "mine.yaml:2: 2023-11-07 is read as a timestamp; put it in quotes"),
        ("rules: !!python/object/apply:os.system [id]\n", "mine.yaml:1: a tag tag:yaml.org,2002:python"),
        ("rules: !!binary aGVsbG8=\n", "is read as a binary"),
        ("rules: !custom x\n", "mine.yaml:1: x is read as a !custom"),
        ('mode: !!int "["\nrules: []\n', "mine.yaml:1: [ is not of type int"),
        ("mode: !!int x\nrules: []\n", "mine.yaml:1: x is not of type int"),
        ("rules: []\n---\nrules: []\n", "mine.yaml:2: but found another document"),
        (b"rules: \xff\xfe\n", "mine.yaml"),
        (b"rules: \x00\n", "mine.yaml"),
        ("rules:\n  - id: a\n    when: true\n    then: allow\n", "mine.yaml:3: rule a: expected `str`, got `bool`"),
        ("rules:\n  - id: a\n    when: stmt.kindd == 'x'\n    then: allow\n", "mine.yaml:3: rule a: unknown fact"),
        ("rules:\n  - id: a\n    when: stmt.known\n    then: no\n", "mine.yaml:4: rule a: "),
        ("rules: []\nlimits:\n  run_seconds: .inf\n", "mine.yaml:3: run_seconds cannot be inf"),
        ("rules: []\nlimits:\n  run_seconds: .nan\n", "mine.yaml:3: run_seconds cannot be nan"),
    ],
)
def test_anything_but_a_plain_policy_is_refused_with_its_line(folder, files, text, complaint):
    write(folder, text)
    assert complaint in refused(files)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_and_breaks_nothing(folder, files, opening):
    write(folder, opening * 20_000)
    assert "mine.yaml" in refused(files)


def test_a_file_that_everybody_may_write_is_refused(folder, files):
    write(folder, GOOD).chmod(0o646)
    assert refused(files).endswith("mine.yaml may be written by everybody")


def test_a_file_that_everybody_may_replace_is_refused(folder, files):
    write(folder, GOOD)
    folder.chmod(0o777)
    assert refused(files).endswith("mine.yaml may be replaced by everybody")
    folder.chmod(0o1777)
    assert files.load("mine").name == "mine"


def test_a_link_is_judged_by_what_it_leads_to(folder, files, tmp_path_factory):
    open_folder = tmp_path_factory.mktemp("open")
    target = write(open_folder, GOOD)
    (folder / "link.yaml").symlink_to(target)
    assert files.load("link").name == "link"
    open_folder.chmod(0o777)
    assert "replaced by everybody" in refused(files, "link")


def test_cases_are_as_little_trusted(folder, files):
    write(folder, GOOD)
    write(folder, "cases: []\n", "mine.cases.yaml").chmod(0o666)
    with pytest.raises(PolicyInvalidError, match="written by everybody"):
        files.cases("mine")


def test_a_file_too_large_for_a_policy_is_refused(folder, files):
    write(folder, b"#" * (LARGEST_FILE_BYTES + 1))
    assert "too large for a policy" in refused(files)


def test_what_is_no_file_is_refused_and_does_not_hang(folder, files):
    os.mkfifo(folder / "pipe.yaml")
    (folder / "dir.yaml").mkdir()
    assert refused(files, "pipe").endswith("is not a regular file")
    assert "dir.yaml" in refused(files, "dir")


def test_a_file_that_cannot_be_read_is_refused(folder, files):
    with socket.socket(socket.AF_UNIX) as unopenable:
        unopenable.bind(str(folder / "s.yaml"))
        assert "s.yaml cannot be read: " in refused(files, "s")


def test_a_link_to_itself_is_no_policy(folder, files):
    (folder / "loop.yaml").symlink_to(folder / "loop.yaml")
    with pytest.raises(ConfigurationError):
        files.load("loop")
