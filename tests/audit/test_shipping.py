"""Copies of the journal: at least once, in order, and nobody waits for them."""

import gzip
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from sqlalchemy.dialects import mysql, postgresql


from safeconsole.audit.archive import open_archive
from safeconsole.audit.central import ENTRIES, DatabaseSink, insert_once
from safeconsole.config.loading import load_settings
from safeconsole.audit.host_log import open_host_log
from safeconsole.audit.retention import prune
from safeconsole.audit.shipping import SharedShipping, Shipper, Shipping, open_shipper
from safeconsole.audit.shipping import sink_from
from safeconsole.audit.sinks import Parcel, SinkError, SyslogSink, WebhookSink, syslog_message
from safeconsole.audit.telemetry import request_of
from safeconsole.errors import ConfigurationError
from safeconsole.audit.record import Noticed
from safeconsole.config.settings import AuditSettings, SinkSettings
from safeconsole.audit.verification import walk
from safeconsole.audit import sinks as sinks_module


class Shelf:
    """A sink that keeps what it is given, and is away when told to be."""

    def __init__(self):
        self.parcels = []
        self.away_after = None

    def send(self, parcels):
        if self.away_after is not None and len(self.parcels) >= self.away_after:
            raise SinkError("shelf: it is away")
        self.parcels += parcels


def streams(parcels):
    found = {}
    for parcel in parcels:
        found.setdefault(parcel.stream, []).append((parcel.number, parcel.line))
    return found


def expected(directory):
    found = {
        path.name[11:].removesuffix(".jsonl"): path.read_bytes().splitlines()
        for path in (directory / "sessions").iterdir()
    }
    (host,) = [path.read_bytes().splitlines() for path in [directory / "host.jsonl"]]
    return {**{name: list(enumerate(lines)) for name, lines in found.items()}, "host": list(enumerate(host))}


def by_name(parcels):
    return {("host" if name.startswith("host-") else name): lines for name, lines in streams(parcels).items()}


def test_every_line_is_sent_in_order_and_once(directory, clock, told):
    for name in ("one", "two"):
        told.write_session(directory, clock, session=name, statements=100)
    shelf = Shelf()
    shipper = Shipper(directory, {"shelf": shelf})
    (first,) = shipper.ship()
    assert by_name(shelf.parcels) == expected(directory)
    assert (first.lines, first.trouble) == (len(shelf.parcels), "")
    assert [one.lines for one in shipper.ship()] == [0]
    told.write_session(directory, clock, session="three")
    shipper.ship()
    assert by_name(shelf.parcels) == expected(directory)


def test_a_living_session_is_sent_as_it_grows(directory, clock, told):
    journal = told.write_session(directory, clock, session="s", close=False)
    shelf = Shelf()
    shipper = Shipper(directory, {"shelf": shelf})
    shipper.ship()
    journal.append(Noticed(what="more"))
    shipper.ship()
    journal.close()
    shipper.ship()
    assert by_name(shelf.parcels) == expected(directory)


def test_a_torn_line_waits_until_it_is_whole(directory, clock, told):
    journal = told.write_session(directory, clock, session="s", close=False)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-5])
    shelf = Shelf()
    shipper = Shipper(directory, {"shelf": shelf})
    shipper.ship()
    assert len(by_name(shelf.parcels)["s"]) == whole.count(b"\n") - 1
    journal.path.write_bytes(whole)
    shipper.ship()
    assert by_name(shelf.parcels) == expected(directory)


def test_a_sink_that_is_away_gets_all_of_it_later_and_keeps_no_other_waiting(directory, clock, told):
    for number in range(4):
        told.write_session(directory, clock, session=f"s{number}", statements=80)
    away, here = Shelf(), Shelf()
    away.away_after = 400
    shipper = Shipper(directory, {"away": away, "here": here})
    results = {one.sink: one.trouble for one in shipper.ship()}
    assert results == {"away": "shelf: it is away", "here": ""}
    assert by_name(here.parcels) == expected(directory)
    away.away_after = None
    shipper.ship()
    assert by_name(away.parcels) == expected(directory)


def test_after_a_crash_a_batch_may_come_twice_and_none_is_left_out(directory, clock, told, monkeypatch):
    told.write_session(directory, clock, session="s", statements=80)
    shelf = Shelf()
    shipper = Shipper(directory, {"shelf": shelf})
    with monkeypatch.context() as patched:
        patched.setattr("safeconsole.audit.shipping.Marks.save", lambda self: (_ for _ in ()).throw(OSError("crash")))
        shipper.ship()
    shipper.ship()
    sent = by_name(shelf.parcels)
    assert {name: sorted(set(lines)) for name, lines in sent.items()} == expected(directory)


def test_marks_that_were_lost_send_everything_again(directory, clock, told):
    told.write_session(directory, clock, session="s")
    shelf = Shelf()
    shipper = Shipper(directory, {"shelf": shelf})
    shipper.ship()
    (directory / "sinks" / "shelf.json").write_bytes(b"garbage")
    shipper.ship()
    assert len(shelf.parcels) == 2 * len(set(shelf.parcels))


def test_packed_sessions_are_sent_too(directory, clock, told):
    told.write_session(directory, clock, session="s")
    lines = expected(directory)["s"]
    prune(open_archive(directory), open_host_log(directory, clock), (), remove_before="", pack_before="2027", dry=False)
    shelf = Shelf()
    Shipper(directory, {"shelf": shelf}).ship()
    assert by_name(shelf.parcels)["s"] == lines


def test_what_somebody_plants_beside_the_sessions_keeps_nothing_here(directory, clock, told):
    told.write_session(directory, clock, session="real")
    folder = os.fsencode(directory / "sessions")
    for name in (b"\xff\xfe", b"x" * 90, b"a;b"):
        with open(folder + b"/1999-01-01-" + name + b".jsonl", "wb") as file:
            file.write(b"{}\n")
    os.mkfifo(folder + b"/1999-01-01-pipe.jsonl")
    (directory / "sessions" / "1999-01-01-cut.jsonl.gz").write_bytes(gzip.compress(b"line\n" * 9999)[:-9])
    shelf = Shelf()
    (shipped,) = Shipper(directory, {"shelf": shelf}).ship()
    assert "real" in streams(shelf.parcels)
    assert set(by_name(shelf.parcels)) <= {"host", "real", "cut"}
    assert "not a regular file" in shipped.trouble or "does not unpack" in shipped.trouble


def test_two_consoles_do_not_send_at_the_same_time(directory, clock, told):
    told.write_session(directory, clock)

    class Nested(Shelf):
        def send(self, parcels):
            self.inner = Shipper(directory, {"shelf": Shelf()}).ship()
            super().send(parcels)

    shelf = Nested()
    Shipper(directory, {"shelf": shelf}).ship()
    assert shelf.inner[0].trouble == "another console is sending"


def test_the_background_sender_holds_nobody_up(directory, clock, told):
    began, may_end = threading.Event(), threading.Event()

    class Slow(Shelf):
        def send(self, parcels):
            began.set()
            assert may_end.wait(60)
            super().send(parcels)

    told.write_session(directory, clock)
    shipping = Shipping(Shipper(directory, {"slow": Slow()}), pause_seconds=0.01)
    shipping.start()
    assert began.wait(20)
    # Returns although the sink still sends.
    shipping.stop(0.2)
    may_end.set()


def test_the_background_sender_makes_a_last_pass_and_tells_its_troubles(directory, clock, told):
    told.write_session(directory, clock, session="s")
    shelf, away = Shelf(), Shelf()
    away.away_after = 0
    shipping = Shipping(Shipper(directory, {"shelf": shelf, "away": away}), pause_seconds=60)
    shipping.start()
    assert shipping.stop(10) == ("away: shelf: it is away",)
    assert by_name(shelf.parcels) == expected(directory)


# Syslog

PARCEL = Parcel(
    stream='s"]\\', number=7, line=b'{"time":"2026-11-07T11:49:00.000000Z","record":{"type":"intent"},"hash":"abc"}'
)


def test_a_syslog_message_is_of_rfc_5424():
    message = syslog_message(PARCEL).decode()
    assert re.fullmatch(
        r'<109>1 2026-11-07T11:49:00\.000000Z \S+ safeconsole \d+ intent '
        r'\[safeconsole@32473 stream="s\\"\\]\\\\" number="7" hash="abc"\] \{.*\}',
        message,
    ), message  # fmt: skip
    assert b" - - " in syslog_message(Parcel(stream="s", number=0, line=b"garbage")) or b"<109>1 - " in syslog_message(
        Parcel(stream="s", number=0, line=b"garbage")
    )


def test_syslog_over_a_local_socket(tmp_path):
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        SyslogSink(path).send([PARCEL, PARCEL])
        assert receiver.recv(65536) == syslog_message(PARCEL)
    os.unlink(path)
    with pytest.raises(SinkError, match="no such file"):
        SyslogSink(path).send([PARCEL])


def test_syslog_over_udp_cuts_what_no_datagram_holds():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        sink = SyslogSink(f"udp://127.0.0.1:{receiver.getsockname()[1]}")
        sink.send([Parcel(stream="s", number=1, line=b"x" * 100_000)])
        assert len(receiver.recv(100_000)) == 8192


def test_syslog_over_tcp_counts_its_octets():
    with socket.create_server(("127.0.0.1", 0)) as server:
        received = []

        def receive():
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(65536):
                    received.append(data)

        thread = threading.Thread(target=receive)
        thread.start()
        SyslogSink(f"tcp://127.0.0.1:{server.getsockname()[1]}").send([PARCEL, PARCEL])
        thread.join(5)
    message = syslog_message(PARCEL)
    assert b"".join(received) == (b"%d %b" % (len(message), message)) * 2


# Webhook


@pytest.fixture
def receiver():
    """A receiver over HTTP that answers as it is told: a status, or None to hang."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = self.server.answers.pop(0) if self.server.answers else 200
            if answer is None:
                time.sleep(3)
                return
            if answer == 200:
                self.server.bodies.append((dict(self.headers), body))
            said = self.server.says.pop(0) if answer == 200 and self.server.says else b""
            self.send_response(answer)
            if answer == 302:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.answers, server.says, server.bodies = [], [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/hunter2"
    yield server
    server.shutdown()
    server.server_close()


def test_a_webhook_that_fails_hangs_and_recovers_gets_everything(directory, clock, told, receiver, monkeypatch):
    monkeypatch.setattr(sinks_module, "SEND_SECONDS", 0.3)
    told.write_session(directory, clock, session="s")
    sink = sink_from(
        SinkSettings(
            kind="webhook", address=receiver.url, header="Authorization: Bearer {secret}", secret_variable="TOKEN"
        ),
        {"TOKEN": "t0ken"},
    )
    shipper = Shipper(directory, {"hook": sink})
    receiver.answers = [500, None, 302]
    troubles = [shipper.ship()[0].trouble for _ in range(4)]
    assert [trouble.partition(": ")[2] for trouble in troubles] == [
        "it answered 500",
        "timed out",
        "it answered 302",
        "",
    ]
    assert not any("hunter2" in trouble or "t0ken" in trouble for trouble in troubles)
    sent = [entry for _, body in receiver.bodies for entry in json.loads(body)["entries"]]
    assert [entry["line"].encode() for entry in sent if entry["stream"] == "s"] == [
        line for _, line in expected(directory)["s"]
    ]
    assert receiver.bodies[0][0]["Authorization"] == "Bearer t0ken"


# OpenTelemetry


def exported(bodies):
    """The log records that a collector was sent, each with what it says of itself."""
    found = []
    for headers, body in bodies:
        assert headers["Content-Type"] == "application/x-protobuf"
        for logs in ExportLogsServiceRequest.FromString(body).resource_logs:
            assert {pair.key: pair.value.string_value for pair in logs.resource.attributes}[
                "service.name"
            ] == "safeconsole"
            for record in logs.scope_logs[0].log_records:
                said = {pair.key: pair.value.string_value or pair.value.int_value for pair in record.attributes}
                found.append((said, record))
    return found


def test_a_collector_that_fails_hangs_rejects_and_recovers_gets_everything(
    directory, clock, told, receiver, monkeypatch
):
    monkeypatch.setattr(sinks_module, "SEND_SECONDS", 0.3)
    told.write_session(directory, clock, session="s", statements=150)
    settings = SinkSettings(
        kind="otel", address=receiver.url, header="Authorization: Bearer {secret}", secret_variable="TOKEN"
    )
    shipper = Shipper(directory, {"otel": sink_from(settings, {"TOKEN": "t0ken"})})
    receiver.answers = [503, None, 302, 200]
    partial = ExportLogsPartialSuccess(rejected_log_records=2, error_message="too old")
    receiver.says = [ExportLogsServiceResponse(partial_success=partial).SerializeToString(), b"<html>", b""]
    troubles = [shipper.ship()[0].trouble for _ in range(5)]
    assert [trouble.partition(": ")[2] for trouble in troubles] == [
        "it answered 503", "timed out", "it answered 302", "it rejected 2 records: too old", "",
    ]  # fmt: skip
    assert not any("hunter2" in trouble or "t0ken" in trouble for trouble in troubles)
    records = {said["log.record.uid"]: (said, record) for said, record in exported(receiver.bodies)}
    for stream, lines in expected(directory).items():
        of_stream = sorted(
            (said["safeconsole.number"], record.body.string_value.encode())
            for said, record in records.values()
            if said["safeconsole.stream"].split("-")[0] == stream
        )
        assert [line for _, line in of_stream] == [line for _, line in lines]
        assert [number for number, _ in of_stream] == list(range(len(lines)))
    # Sent more than once, and the same each time: a receiver that goes by the id keeps each once.
    sent = exported(receiver.bodies)
    assert len(sent) > len(records)
    assert all(records[said["log.record.uid"]][1] == record for said, record in sent)
    assert receiver.bodies[0][0]["Authorization"] == "Bearer t0ken"


def test_a_log_record_says_when_what_and_how_loud():
    line = b'{"time":"2026-11-07T11:30:03.000001Z","hash":"ab","record":{"type":"elevation"}}'
    (record,) = request_of([Parcel(stream="s", number=7, line=line)]).resource_logs[0].scope_logs[0].log_records
    assert record.time_unix_nano == record.observed_time_unix_nano == 1_794_051_003_000_001_000
    assert (record.event_name, record.severity_text) == ("safeconsole.elevation", "WARN")
    (quiet,) = request_of([Parcel(stream="s", number=8, line=b"no json")]).resource_logs[0].scope_logs[0].log_records
    assert (quiet.time_unix_nano, quiet.event_name, quiet.severity_text) == (0, "", "INFO")


def test_without_its_extra_the_sink_says_which_it_needs(tmp_path):
    code = (
        "import sys; sys.modules['opentelemetry.proto.collector.logs.v1.logs_service_pb2'] = None\n"
        "from safeconsole.audit.shipping import sink_from; from safeconsole.config.settings import SinkSettings\n"
        "sink_from(SinkSettings(kind='otel', address='https://x/v1/logs'), {})"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                         env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])})  # fmt: skip
    assert "a sink of the kind otel needs the extra otel" in out.stderr


def test_a_webhook_that_is_not_there_is_said():
    with pytest.raises(SinkError, match="connection refused"):
        WebhookSink("http://127.0.0.1:1/x", {}).send([PARCEL])


# The central database


@pytest.mark.parametrize(
    "address", ["mysql+pymysql://audit:hunter2@db9/audit", "mariadb+pymysql://audit:hunter2@10.0.0.5:3307/audit"]
)
def test_a_database_elsewhere_has_to_prove_who_it_is(address):
    with pytest.raises(ConfigurationError, match="names no authority that proves it") as caught:
        DatabaseSink(address)
    assert "hunter2" not in str(caught.value)
    DatabaseSink(f"{address}?ssl_ca=/etc/ssl/db.pem").close()


@pytest.mark.parametrize(
    "place",
    ["127.0.0.1:3306/a", "[::1]/a", "localhost/a", "/a?unix_socket=/run/db.sock", "db9/a?unix_socket=/run/db.sock"],
)
def test_a_database_of_this_computer_need_not(place):
    DatabaseSink(f"mysql+pymysql://audit:hunter2@{place}").close()


@pytest.fixture
def central(tmp_path):
    url = f"sqlite:///{tmp_path}/central/audit.db"
    (tmp_path / "central").mkdir()
    sink = DatabaseSink(url)
    engine = sqlalchemy.create_engine(url)

    def rows():
        with engine.connect() as connection:
            return connection.execute(sqlalchemy.select(ENTRIES).order_by(ENTRIES.c.stream, ENTRIES.c.number)).all()

    sink.rows = rows
    yield sink
    sink.close()
    engine.dispose()


def test_the_central_database_holds_every_line_once_and_the_chain_can_be_walked_there(directory, clock, told, central):
    told.write_session(directory, clock, session="s", statements=60)
    Shipper(directory, {"db": central}).ship()
    Shipper(directory, {"again": central}).ship()
    held = central.rows()
    host = [row.line.encode() + b"\n" for row in held if row.stream.startswith("host-")]
    session = [row.line.encode() + b"\n" for row in held if row.stream == "s"]
    assert walk(host).what == ""
    assert walk(session, first=held[0].hash, session="s").what == ""
    assert len(session) == len(expected(directory)["s"])
    assert {row.kind for row in held} >= {"opened", "closed", "intent", "outcome"}
    assert all(row.time.startswith("2026-11-07T") and len(row.hash) == 64 for row in held)


def test_a_central_database_that_goes_away_for_a_while_gets_everything_when_it_is_back(
    directory, clock, told, tmp_path, central
):
    told.write_session(directory, clock, session="one")
    shipper = Shipper(directory, {"db": central})
    shipper.ship()
    central.close()
    (tmp_path / "central").rename(tmp_path / "gone")
    told.write_session(directory, clock, session="two")
    (away,) = shipper.ship()
    assert "database" in away.trouble
    (tmp_path / "gone").rename(tmp_path / "central")
    (back,) = shipper.ship()
    assert back.trouble == ""
    assert {row.stream for row in central.rows()} >= {"one", "two"}
    lines = {row.line.encode() for row in central.rows()}
    assert lines == {line for held in expected(directory).values() for _, line in held}


def test_each_family_adds_a_line_once_and_keeps_long_ones_whole():
    assert "ON CONFLICT DO NOTHING" in str(insert_once("postgresql").compile(dialect=postgresql.dialect()))
    assert "ON DUPLICATE KEY UPDATE" in str(insert_once("mysql").compile(dialect=mysql.dialect()))
    table = str(sqlalchemy.schema.CreateTable(ENTRIES).compile(dialect=mysql.dialect()))
    assert "MEDIUMTEXT" in table


def test_an_address_that_is_none_is_said_without_its_password():
    for kind, address in [
        ("database", "nonsense://u:hunter2@h/d"), ("database", "hunter2"), ("webhook", "file:///etc/hunter2"), ("syslog", "ftp://hunter2"),
    ]:  # fmt: skip
        with pytest.raises(ConfigurationError, match="audit.sinks") as caught:
            sink_from(SinkSettings(kind=kind, address=address), {})
        if kind != "syslog":
            assert "hunter2" not in caught.value.message
    with pytest.raises(ConfigurationError, match="TOKEN is not set"):
        sink_from(SinkSettings(kind="webhook", address="https://x", secret_variable="TOKEN"), {})


def test_sinks_are_configured_by_name(tmp_path, directory):
    config = tmp_path / "config.toml"
    config.write_text('[audit.sinks.central]\nkind = "database"\naddress = "sqlite:///x.db"\n')
    settings = load_settings(str(config), {}, system=tmp_path / "none")
    assert open_shipper(directory, settings.audit, {}) is not None
    assert open_shipper(directory, AuditSettings(), {}) is None
    config.write_text('[audit.sinks."../up"]\nkind = "database"\naddress = "sqlite:///x.db"\n')
    with pytest.raises(ConfigurationError, match="audit.sinks.../up: a name is"):
        load_settings(str(config), {}, system=tmp_path / "none")


def test_one_thread_ships_a_directory_for_all_sessions_of_a_process(tmp_path):
    def threads():
        return [thread for thread in threading.enumerate() if thread.name == "safeconsole-shipping"]

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as siem:
        siem.bind(("127.0.0.1", 0))
        sink = SinkSettings(kind="syslog", address=f"udp://127.0.0.1:{siem.getsockname()[1]}")
        shared, before = SharedShipping(AuditSettings(sinks={"siem": sink}), {}), len(threads())
        with shared.running(tmp_path):
            with shared.running(tmp_path), shared.running(tmp_path):
                assert len(threads()) == before + 1
            assert len(threads()) == before + 1
        assert len(threads()) == before
        with shared.running(tmp_path):
            assert len(threads()) == before + 1
