"""OpenTelemetry logs: each journal line as one log record, by OTLP over HTTP.

The line is the body, so that the chain can be verified at the receiver; `log.record.uid` stays the same however often
it is sent.

Source: OpenTelemetry Protocol 1.7, "OTLP/HTTP" and "Partial Success"; Logs Data Model, "Log and Event Record
Definition"; Semantic Conventions 1.36, "log.record.uid".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from socket import gethostname

from safeconsole import __version__
from safeconsole.audit.record import moment_in
from safeconsole.audit.sinks import Parcel, SinkError, kind_of, post

try:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
        ExportLogsServiceRequest,
        ExportLogsServiceResponse,
    )
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
except ImportError as missing:
    from safeconsole.errors import ConfigurationError

    raise ConfigurationError(
        "audit.sinks: a sink of the kind otel needs the extra otel", instead="pip install 'safeconsole[otel]'"
    ) from missing

SCOPE = "safeconsole.audit"
PROTOBUF = "application/x-protobuf"

_LOUD = frozenset({"elevation", "disagreed", "approval", "abandoned"})
"""Kinds of records with a higher severity."""


class TelemetrySink:
    """A collector's logs endpoint; any 2xx that rejects nothing accepts a batch."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = {"Content-Type": PROTOBUF, **headers}

    def send(self, parcels: Sequence[Parcel]) -> None:
        said = post(self._url, request_of(parcels).SerializeToString(), self._headers, what="collector")
        try:
            answer = ExportLogsServiceResponse.FromString(said)
        except DecodeError:
            # Many collectors answer with a page or with nothing; that it was taken is in the status.
            return
        rejected = answer.partial_success.rejected_log_records
        if rejected:
            raise SinkError(f"collector: it rejected {rejected} records: {answer.partial_success.error_message[:200]}")


def request_of(parcels: Sequence[Parcel]) -> ExportLogsServiceRequest:
    resource = Resource(attributes=[_text("service.name", "safeconsole"), _text("host.name", gethostname())])
    scope = InstrumentationScope(name=SCOPE, version=__version__)
    records = [_record(parcel) for parcel in parcels]
    logs = ResourceLogs(resource=resource, scope_logs=[ScopeLogs(scope=scope, log_records=records)])
    return ExportLogsServiceRequest(resource_logs=[logs])


def _record(parcel: Parcel) -> LogRecord:
    time, digest, kind = kind_of(parcel.line)
    loud = kind in _LOUD
    return LogRecord(
        time_unix_nano=_nanoseconds(time),
        observed_time_unix_nano=_nanoseconds(time),
        severity_number=SeverityNumber.SEVERITY_NUMBER_WARN if loud else SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text="WARN" if loud else "INFO",
        event_name=f"safeconsole.{kind}" if kind else "",
        body=AnyValue(string_value=parcel.line.decode("utf-8", "replace")),
        attributes=[
            _text("log.record.uid", f"{parcel.stream}/{parcel.number}"),
            _text("safeconsole.stream", parcel.stream),
            KeyValue(key="safeconsole.number", value=AnyValue(int_value=parcel.number)),
            _text("safeconsole.hash", digest),
        ],
    )


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _nanoseconds(time: str) -> int:
    """Return a journal time as nanoseconds since 1970, 0 if it is invalid."""
    moment = moment_in(time)
    if moment is None:
        return 0
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return max(0, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
