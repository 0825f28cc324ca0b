"""The OCSF export against the published schema, in the versions that a package carries."""

import itertools

import pytest
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchema, get_ocsf_schema, get_packaged_versions
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from safeconsole.audit.story import StatementStory
from safeconsole.sqltext.vocabulary import Verdict
from safeconsole.audit.export import OCSF_VERSION, ocsf_event

CLASS = "datastore_activity"
NEWER = sorted(
    version for version in get_packaged_versions() if tuple(map(int, version.partition("-")[0].split("."))) > (1, 4, 0)
)


def validator(version, profiles):
    """What the schema of a version demands of the class, with no attribute that it does not name."""
    schema = OcsfJsonSchema(get_ocsf_schema(version))
    registry = Registry(retrieve=lambda uri: Resource.from_contents(schema.get_schema_from_uri(uri), DRAFT202012))
    return Draft202012Validator(schema.get_class_schema(CLASS, profiles), registry=registry)


def stories():
    kinds = [
        ("select", ("read",)), ("insert", ("write",)), ("update", ("write",)), ("delete", ("write",)), ("show tables", ("read",)),
        ("create table", ("ddl",)), ("drop table", ("ddl",)), ("alter table", ("ddl",)), ("call", ("unknown",)), ("", ()),
    ]  # fmt: skip
    outcomes = ("done", "refused", "failed", "stopped", "unknown", "running", "")
    origins = ("10.0.0.9", "fe80::1", "/dev/pts/3", "12:34", "1.2.3.999", "")
    for number, ((kind, effects), outcome, verdict) in enumerate(itertools.product(kinds, outcomes, [*Verdict, ""])):
        sent = "2026-11-07T11:30:00.500000Z" if outcome not in {"refused", ""} else ""
        yield StatementStory(
            session="aa11", statement=number, person="ana", login="ops", host="db_host" if number % 3 else "", face="sql",
            origin=origins[number % len(origins)], cluster="shop", environment="production", sql="SELECT 1", digest="d",
            kind=kind, effects=effects, tables=("shop.orders", "shop.customers")[: number % 3], verdict=str(verdict),
            rules=("r",), policy="baseline" if number % 2 else "", message="because" if number % 5 else "", node="n" if sent else "",
            server="u" if sent else "", asked="2026-11-07T11:30:00.123456Z", sent=sent, outcome=outcome, elapsed_seconds=0.25,
            ended="2026-11-07T11:30:01.000000Z" if outcome not in {"running", "", "unknown"} else "", rows=number,
            server_error=1064 if outcome == "refused" and sent else 0, reason="stuck", ticket="INC-7",
        )  # fmt: skip


@pytest.mark.parametrize("version", [OCSF_VERSION, *NEWER])
def test_every_event_is_one_of_the_published_class(version):
    judge, numbers = validator(version, ["security_control"]), set()
    for story in stories():
        event = ocsf_event(story)
        faults = [f"{fault.json_path}: {fault.message}" for fault in judge.iter_errors(event)]
        assert faults == [], (event, faults)
        numbers.add((event["activity_id"], event["status_id"], event["severity_id"], event["action_id"]))
    assert len(numbers) > 30


def test_what_is_declared_is_what_is_used():
    event = ocsf_event(next(stories()))
    assert event["metadata"]["version"] == OCSF_VERSION
    assert validator(OCSF_VERSION, event["metadata"]["profiles"]).is_valid(event)
    # Without the profile that it declares, or with a name that is none, the second opinion objects.
    assert not validator(OCSF_VERSION, []).is_valid(event)
    assert not validator(OCSF_VERSION, ["security_control"]).is_valid(event | {"databse": {}})
    assert not validator(OCSF_VERSION, ["security_control"]).is_valid(event | {"time": "2026-11-07"})


def test_each_number_carries_the_name_that_the_schema_gives_it():
    attributes = get_ocsf_schema(OCSF_VERSION)["classes"][CLASS]["attributes"]
    pairs = {
        "activity_id": "activity_name", "status_id": "status", "severity_id": "severity", "action_id": "action",
        "disposition_id": "disposition", "type_uid": "type_name", "type_id": "type", "class_uid": "class_name",
        "category_uid": "category_name",
    }  # fmt: skip
    for event in map(ocsf_event, stories()):
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        for number, name in pairs.items():
            published = attributes[number]["enum"][str(event[number])]["caption"]
            # 99 is for what has no number; its name is the source's own.
            assert event[number] == 99 or event[name] == published, (number, event)


def test_times_are_milliseconds_and_what_is_not_known_is_not_said():
    events = {event["status"]: event for event in map(ocsf_event, stories())}
    assert (events["Success"]["time"], events["Success"]["start_time"]) == (1_794_051_000_123, 1_794_051_000_500)
    assert (events["Success"]["end_time"], events["Success"]["duration"]) == (1_794_051_001_000, 250)
    assert "end_time" not in events["running"]
    assert "dst_endpoint" not in events["asked"]
    assert "status_code" not in events["Success"]


@pytest.mark.parametrize(
    ("origin", "ip"), [("10.0.0.9", "10.0.0.9"), ("fe80::1", "fe80::1"), ("1.2.3.999", None), ("12:34", None)]
)
def test_only_an_address_is_one(origin, ip):
    assert ocsf_event(StatementStory(session="s", statement=1, host="h", origin=origin))["src_endpoint"].get("ip") == ip


def test_a_local_terminal_is_the_sessions():
    event = ocsf_event(StatementStory(session="s", statement=1, origin="/dev/pts/3", face="python"))
    assert event["actor"]["session"] == {"uid": "s", "is_remote": False, "terminal": "/dev/pts/3"}
    assert event["actor"]["app_name"] == "safeconsole python"
