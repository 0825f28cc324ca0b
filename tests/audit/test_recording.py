"""What the terminal showed."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from safeconsole.audit.recording import open_recording, read_recording
from safeconsole.errors import ConfigurationError
from safeconsole.config.settings import RecordingSettings

SIZE = os.terminal_size((80, 24))


@pytest.fixture
def recording(directory, clock):
    return open_recording(directory, "s", clock=clock, size=SIZE, settings=RecordingSettings(keep="rows"))


def shown(directory):
    return [text for _, text in read_recording(directory, "s").outputs]


def digest_of(directory, session):
    return read_recording(directory, session).digest


def test_a_recording_is_asciicast_version_2_for_the_account_alone(directory, recording):
    recording.output("one\r\n")
    recording.output("\x1b[31mtwo\udcff")
    path = directory / "recordings" / "s.cast"
    head, *events = [json.loads(line) for line in path.read_text().splitlines()]
    assert (head["version"], head["width"], head["height"]) == (2, 80, 24)
    assert [event[1:] for event in events] == [["o", "one\r\n"], ["o", "\x1b[31mtwo\udcff"]]
    assert events[0][0] < events[1][0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_recording_ends_at_its_size_and_says_so(directory, clock):
    recording = open_recording(
        directory, "s", clock=clock, size=SIZE, settings=RecordingSettings(keep="rows", largest_bytes=500)
    )
    for _ in range(100):
        recording.output("x" * 50)
    assert "recording ends here" in shown(directory)[-1]
    assert (directory / "recordings" / "s.cast").stat().st_size < 700


def test_a_recording_that_cannot_be_written_harms_nobody(directory, clock, recording, tmp_path):
    (tmp_path / "file").write_text("")
    assert (
        open_recording(tmp_path / "file", "s", clock=clock, size=SIZE, settings=RecordingSettings(keep="rows")) is None
    )
    assert open_recording(directory, "s", clock=clock, size=SIZE, settings=RecordingSettings(keep="rows")) is None
    recording.output("x")
    recording.close()
    recording.output("late")
    recording.close()
    assert shown(directory) == ["x"]


def test_what_it_closes_with_is_the_digest_of_the_whole_file(directory, recording):
    recording.output("one")
    closed = recording.close()
    assert closed == digest_of(directory, "s")
    with (directory / "recordings" / "s.cast").open("a") as file:
        file.write('[9.0, "o", "forged"]\n')
    assert closed != digest_of(directory, "s")


def test_threads_write_whole_lines_and_the_digest_holds(directory, recording):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: recording.output(f"{number}" * 50), range(400)))
    assert recording.close() == digest_of(directory, "s")
    assert len(shown(directory)) == 400


def test_a_recording_that_was_tampered_with_is_read_as_far_as_it_is_one(directory, recording):
    recording.output("one")
    path = directory / "recordings" / "s.cast"
    path.write_bytes(
        path.read_bytes()
        + b'garbage\n[1,"i","typed"]\n["x","o","y"]\n[5,"o",7]\n\xff\n'
        + b'[NaN,"o","never"]\n[1e999,"o","never"]\n['
        + b"9" * 400
        + b',"o","never"]\n'
        + b"[" * 9999
        + b'\n[9,"o","two"]\n'
    )
    assert shown(directory) == ["one", "two"]


def test_a_session_without_a_recording_is_said(directory):
    with pytest.raises(ConfigurationError, match="no recording of session s") as caught:
        read_recording(directory, "s")
    assert "audit show s" in caught.value.instead


def test_a_recording_says_how_large_its_terminal_was(directory, recording):
    recording.output("one")
    read = read_recording(directory, "s")
    assert (read.columns, read.lines) == (80, 24)
    path = directory / "recordings" / "s.cast"
    for head, size in (
        ('{"width":1e9,"height":2}', (80, 24)),
        ('{"width":999999,"height":1}', (1000, 5)),
        ("{", (80, 24)),
    ):
        path.write_text(f'{head}\n[1,"o","x"]\n')
        assert (read_recording(directory, "s").columns, read_recording(directory, "s").lines) == size


@pytest.mark.parametrize("plant", [lambda path, other: path.symlink_to(other), lambda path, _: os.mkfifo(path)])
def test_what_is_planted_instead_of_a_recording_is_not_followed(directory, recording, tmp_path, plant):
    other = tmp_path / "other"
    other.write_text('{}\n[1,"o","of somebody else"]\n')
    path = directory / "recordings" / "s.cast"
    path.unlink()
    plant(path, other)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_recording(directory, "s")


def test_a_sessions_id_leads_nowhere_else(directory):
    with pytest.raises(ConfigurationError, match="not a session id"):
        read_recording(directory, "../../etc/x")
