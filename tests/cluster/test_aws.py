"""What AWS answers, as its own stub checks it: requests that the service would take, answers of its shape."""

import json
import sys
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.stub import Stubber


from safeconsole.cluster.host_memory import EnhancedMonitoring, FreeableMemory, client_of, require_boto3
from safeconsole.errors import ConfigurationError
from safeconsole.cluster import host_memory

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def stubbed(monkeypatch):
    """A function that returns boto3's client of a service with a stub around it; nothing leaves the computer."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")

    def make(service):
        client = boto3.client(service, region_name="eu-west-1")
        stub = Stubber(client)
        stub.activate()
        return client, stub

    return make


def asked_for(instance):
    return {
        "Namespace": "AWS/RDS",
        "MetricName": "FreeableMemory",
        "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": instance}],
        "StartTime": NOW - timedelta(minutes=5),
        "EndTime": NOW,
        "Period": 60,
        "Statistics": ["Minimum"],
    }


def point(minutes_ago, number):
    return {"Timestamp": NOW - timedelta(minutes=minutes_ago), "Minimum": number, "Unit": "Bytes"}


@pytest.mark.parametrize(
    ("points", "found"),
    [
        ([point(3, 7e9), point(1, 5e9), point(2, 6e9)], 5_000_000_000),
        ([point(9, 5e9)], None),
        ([], None),
        ([point(1, -1.0)], None),
        ([point(1, 1e300)], None),
        ([point(1, float("nan"))], None),
    ],
)
def test_the_latest_minute_of_the_metric_counts(stubbed, points, found):
    client, stub = stubbed("cloudwatch")
    stub.add_response("get_metric_statistics", {"Label": "FreeableMemory", "Datapoints": points}, asked_for("shop-1"))
    assert FreeableMemory("shop-1", lambda: client, now=lambda: NOW).fetch() == found
    stub.assert_no_pending_responses()


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling", "InternalFailure"])
def test_what_the_service_refuses_is_no_reading(stubbed, code):
    client, stub = stubbed("cloudwatch")
    stub.add_client_error("get_metric_statistics", code)
    assert FreeableMemory("shop-1", lambda: client, now=lambda: NOW).fetch() is None
    client, stub = stubbed("logs")
    stub.add_client_error("get_log_events", code)
    assert EnhancedMonitoring("db-ABC", lambda: client, now=lambda: NOW).fetch() is None


def event(message, seconds_ago=30):
    written = int((NOW - timedelta(seconds=seconds_ago)).timestamp() * 1000)
    return {"timestamp": written, "message": message, "ingestionTime": written}


MEMORY = {"engine": "MYSQL", "memory": {"total": 16_000_000, "free": 1_000_000, "cached": 500_000}}


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([event(json.dumps(MEMORY))], 1_500_000 * 1024),
        ([event(json.dumps(MEMORY), seconds_ago=900)], None),
        ([], None),
        ([event("no json")], None),
        ([event("[]")], None),
        ([event('{"memory": {"free": "much", "cached": 1}}')], None),
        ([event('{"memory": {"free": -5, "cached": 1}}')], None),
    ],
)
def test_enhanced_monitoring_tells_what_is_free_or_only_cached(stubbed, events, found):
    client, stub = stubbed("logs")
    expected = {"logGroupName": "RDSOSMetrics", "logStreamName": "db-ABC", "limit": 1, "startFromHead": False}
    stub.add_response("get_log_events", {"events": events}, expected)
    assert EnhancedMonitoring("db-ABC", lambda: client, now=lambda: NOW).fetch() == found


def test_a_client_is_made_once_with_bounded_waits(stubbed):
    client = client_of("cloudwatch", "eu-west-1")
    assert client() is client()
    config = client().meta.config
    assert (config.connect_timeout, config.read_timeout) == (host_memory.ANSWER_SECONDS, host_memory.ANSWER_SECONDS)
    assert config.retries["total_max_attempts"] == 1


def test_nobody_at_the_other_end_is_no_reading(stubbed):
    client = boto3.client("cloudwatch", region_name="eu-west-1", endpoint_url="http://127.0.0.1:1")
    assert FreeableMemory("shop-1", lambda: client, now=lambda: NOW).fetch() is None


def test_without_credentials_there_is_no_reading(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert FreeableMemory("shop-1", client_of("cloudwatch", "eu-west-1")).fetch() is None


def test_a_missing_extra_is_said_before_anything_hangs_on_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ConfigurationError, match="aws extra is not installed"):
        require_boto3()
