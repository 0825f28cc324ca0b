"""Who sits at the console."""

import os
import pty
import pwd
import re
import subprocess
import sys
from pathlib import Path

import pytest

from safeconsole.clock import SystemClock
from safeconsole.config.identity import AGENT_MARKERS, UNSET_UID, who, demo_mark_of
from safeconsole.config.identity import demo_mark, demo_mark_in

REPO = Path(__file__).resolve().parents[2]
ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def login_uid(tmp_path):
    path = tmp_path / "loginuid"

    def says(text):
        path.write_text(str(text))
        return path

    return says


def test_the_kernels_login_identity_comes_before_what_sudo_says(login_uid):
    person = who({"SUDO_USER": "eve", "USER": "mallory"}, login_uid=login_uid(1))
    assert (person.name, person.login) == (pwd.getpwuid(1).pw_name, ME)


def test_sudo_is_believed_where_the_kernel_does_not_know(login_uid, tmp_path):
    assert who({"SUDO_USER": "ana"}, login_uid=login_uid(UNSET_UID)).name == "ana"
    assert who({"SUDO_USER": "ana"}, login_uid=tmp_path / "missing").name == "ana"
    assert who({"SUDO_USER": "ana"}, login_uid=login_uid("garbage")).name == "ana"


def test_what_the_environment_says_of_the_account_is_not_believed(login_uid):
    person = who({"USER": "mallory", "LOGNAME": "mallory"}, login_uid=login_uid(UNSET_UID))
    assert (person.name, person.login) == (ME, ME)


def test_an_account_without_a_name_is_its_number(login_uid):
    assert who({}, login_uid=login_uid(4_000_123)).name == "4000123"


def test_where_the_person_came_from_is_kept(login_uid):
    unset = login_uid(UNSET_UID)
    assert who({"SSH_CONNECTION": "10.0.0.9 50022 10.0.0.1 22"}, login_uid=unset).origin == "10.0.0.9"
    assert who({"SSH_CLIENT": "10.0.0.8 50022 22"}, login_uid=unset).origin == "10.0.0.8"


@pytest.mark.parametrize(("variable", "name"), AGENT_MARKERS)
def test_each_marker_says_that_a_program_asks(variable, name):
    assert who({variable: "1"}).agent == name


def test_a_marker_that_says_no_is_none():
    assert who({"CI": "false", "CLAUDECODE": "0"}).agent == who({}).agent


def test_the_coding_agent_is_named_before_the_place_it_runs_in():
    assert who({"CI": "true", "GITHUB_ACTIONS": "true", "CLAUDECODE": "1"}).agent == "claude-code"


def ask(code):
    return [
        sys.executable,
        "-c",
        f"import os; from safeconsole.config.identity import who; p = who({{}}); {code}",
    ]


def test_without_a_terminal_nobody_can_be_asked():
    out = subprocess.run(ask("print(p.terminal, p.agent)"), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": str(REPO)})  # fmt: skip
    assert out.stdout.split() == ["False", "no-terminal"], out.stderr


def test_at_a_terminal_a_person_can_be_asked_and_is_no_agent():
    ours, theirs = pty.openpty()
    out = subprocess.run(ask("print(p.terminal, repr(p.agent), p.origin)"), stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True,
                         env={**os.environ, "PYTHONPATH": str(REPO)})  # fmt: skip
    name = os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)
    assert out.stdout.split() == ["True", "''", name]


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_who_pipes_something_in_or_out_still_sits_at_a_terminal(stream):
    """They cannot be asked where standard input is a script, but they are no program."""
    ours, theirs = pty.openpty()
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE} | {stream: theirs}
    read, write = os.pipe()
    told = subprocess.run(
        ask(f"os.write({write}, f'{{p.terminal}} {{p.agent!r}}'.encode())"), pass_fds=(write,), check=True,
        env={**os.environ, "PYTHONPATH": str(REPO)}, **streams,
    )  # fmt: skip
    os.close(write)
    assert os.read(read, 100) == b"False ''", told
    for descriptor in (read, ours, theirs):
        os.close(descriptor)


def test_a_closed_standard_input_is_no_terminal():
    out = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *ask("print(p.terminal)")], capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": str(REPO)})  # fmt: skip
    assert out.stdout.split() == ["False"], out.stderr


def test_groups_and_host_are_told():
    person = who({})
    assert person.groups == tuple(sorted(person.groups)) != ()
    assert person.host == os.uname().nodename


def test_the_clock_tells_utc_with_microseconds_and_never_runs_backwards():
    clock = SystemClock()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", clock.utc())
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


def test_only_a_private_directory_with_a_private_key_has_a_mark(tmp_path):
    place = tmp_path / "demo"
    place.mkdir(mode=0o700)
    assert demo_mark_of(str(place)) == demo_mark_of("") == demo_mark_of(str(tmp_path / "none")) == ""
    key = place / "demo.key"
    key.touch(mode=0o600)
    key.write_bytes(b"k")
    assert demo_mark_of(str(place)) == demo_mark(b"k")
    assert demo_mark_in(f"/var/lib/{demo_mark(b'k')}.log") == demo_mark(b"k")
    assert demo_mark_in("/var/lib/host-slow.log") == ""
    for path, mode, private in ((key, 0o640, 0o600), (place, 0o755, 0o700)):
        path.chmod(mode)
        assert demo_mark_of(str(place)) == ""
        path.chmod(private)
    (tmp_path / "link").symlink_to(place)
    assert demo_mark_of(str(tmp_path / "link")) == ""
    key.rename(tmp_path / "elsewhere")
    key.symlink_to(tmp_path / "elsewhere")
    assert demo_mark_of(str(place)) == ""


def test_what_a_name_rests_on_is_kept(login_uid):
    unset = login_uid(UNSET_UID)
    assert who({"SUDO_USER": "ana"}, login_uid=unset).proof == "sudo-user"
    assert who({}, login_uid=unset).proof == "account"
    assert who({"SUDO_USER": "eve"}, login_uid=login_uid(1)).proof == "login-uid"
