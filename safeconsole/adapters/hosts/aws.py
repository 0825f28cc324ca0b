"""
Free memory of an RDS or Aurora instance from AWS: the metric `FreeableMemory`, or enhanced monitoring.

One number a minute, some time after it was true: good enough to choose a node by, far too late to stop a statement
with. Never met live: written from the manuals and tested against recorded answers. Source: Amazon RDS User Guide,
"Amazon CloudWatch metrics for Amazon RDS" and "OS metrics in Enhanced Monitoring".
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from safeconsole.core.errors import ConfigurationError

OLDEST_SECONDS = 300.0
"""A number that is older says nothing of now."""

ANSWER_SECONDS = 1.5
_LARGEST_MEMORY_BYTES = 2**50
_LOG_GROUP = "RDSOSMetrics"

Client = Callable[[], Any]


def require_boto3() -> None:
    """Say that the extra is missing before anything hangs on it. Raises ConfigurationError."""
    if not _is_installed("boto3"):
        raise ConfigurationError(
            "free memory is to come from AWS, and the aws extra is not installed",
            instead="install safeconsole[aws] (pipx inject safeconsole boto3)",
        )


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:
        # A module that was put aside on purpose.
        return False


def client_of(service: str, region: str) -> Client:
    """Return what makes a client when it is first needed, with bounded waits; it is made once."""
    made: list[Any] = []

    def client() -> Any:  # noqa: ANN401 (boto3 has no types)
        if not made:
            import boto3  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415
            from botocore.config import (  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415
                Config,
            )

            bounded = Config(
                connect_timeout=ANSWER_SECONDS, read_timeout=ANSWER_SECONDS, retries={"total_max_attempts": 1}
            )
            made.append(boto3.client(service, region_name=region or None, config=bounded))
        return made[0]

    return client


class FreeableMemory:
    """
    CloudWatch's `FreeableMemory` of one instance.

    Args:
        instance: its DBInstanceIdentifier.
        client: returns boto3's client of CloudWatch.
        now: the time, with its zone.
    """

    def __init__(
        self, instance: str, client: Client, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._instance = instance
        self._client = client
        self._now = now

    def fetch(self) -> int | None:
        """Return the lowest value of the latest minute, None when there is none of the last minutes; never raises."""
        now = self._now()
        try:
            answer = self._client().get_metric_statistics(
                Namespace="AWS/RDS",
                MetricName="FreeableMemory",
                Dimensions=[{"Name": "DBInstanceIdentifier", "Value": self._instance}],
                StartTime=now - timedelta(seconds=OLDEST_SECONDS),
                EndTime=now,
                Period=60,
                Statistics=["Minimum"],
            )
            points = [point for point in answer["Datapoints"] if _age(point["Timestamp"], now) <= OLDEST_SECONDS]
            latest = max(points, key=lambda point: point["Timestamp"], default=None)
            return None if latest is None else _bytes(latest["Minimum"])
        except _failures():
            return None


class EnhancedMonitoring:
    """
    Enhanced monitoring of one instance: what its operating system says is free, or used for files only.

    Args:
        resource: its DbiResourceId ("db-ABC…"), which names its log.
        client: returns boto3's client of CloudWatch Logs.
        now: the time, with its zone.
    """

    def __init__(
        self, resource: str, client: Client, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._resource = resource
        self._client = client
        self._now = now

    def fetch(self) -> int | None:
        """Return free and cached memory of the latest record, None when there is none that is new; never raises."""
        try:
            events = self._client().get_log_events(
                logGroupName=_LOG_GROUP, logStreamName=self._resource, limit=1, startFromHead=False
            )["events"]
            written = datetime.fromtimestamp(events[-1]["timestamp"] / 1000, UTC)
            if _age(written, self._now()) > OLDEST_SECONDS:
                return None
            memory: Mapping[str, Any] = json.loads(events[-1]["message"])["memory"]
            # In KiB.
            return _bytes((memory["free"] + memory["cached"]) * 1024)
        except _failures():
            return None


def _failures() -> tuple[type[Exception], ...]:
    """Return what a call can end in: an error of the library's, or an answer that is none."""
    from botocore.exceptions import (  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415
        BotoCoreError,
        ClientError,
    )

    return (BotoCoreError, ClientError, OSError, LookupError, TypeError, ValueError, AttributeError)


def _age(then: datetime, now: datetime) -> float:
    return (now - then).total_seconds()


def _bytes(number: float) -> int | None:
    """Return a number that can be a size of a memory, else None."""
    return int(number) if 0 <= number <= _LARGEST_MEMORY_BYTES else None
