"""Statements as OCSF events of the class Datastore Activity (6005).

Source: Open Cybersecurity Schema Framework 1.4.0, class "datastore_activity" with the profile "security_control",
objects "query_info", "database", "network_endpoint", "actor" and "metadata".
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from safeconsole import __version__
from safeconsole.audit.record import moment_in
from safeconsole.audit.story import StatementStory

OCSF_VERSION = "1.4.0"
CLASS_UID = 6005
CATEGORY_UID = 6
OTHER = 99

_ACTIVITIES: dict[str, tuple[int, str]] = {
    "insert": (5, "Write"),
    "replace": (5, "Write"),
    "load data": (5, "Write"),
    "update": (2, "Update"),
    "delete": (7, "Delete"),
    "truncate": (7, "Delete"),
    "drop": (7, "Delete"),
    "create": (6, "Create"),
    "show": (8, "List"),
}
"""By the first words of a statement's kind; any other read is Query, anything else Other."""

_STATUS = {
    "done": (1, "Success"),
    "refused": (2, "Failure"),
    "failed": (2, "Failure"),
    "stopped": (2, "Failure"),
    "unseen": (2, "Failure"),
    "unknown": (0, "Unknown"),
}
_SEVERITY = {"allow": (1, "Informational"), "confirm": (2, "Low"), "elevate": (3, "Medium"), "deny": (3, "Medium")}


def ocsf_event(story: StatementStory) -> dict[str, Any]:
    """Return one statement as an OCSF event; the same statement always has the same `metadata.uid`."""
    return {**_classified(story), **_timed(story), **_judged(story), **_placed(story), "unmapped": _unmapped(story)}


def _classified(story: StatementStory) -> dict[str, Any]:
    activity_id, activity = _activity(story)
    return {
        "class_uid": CLASS_UID,
        "class_name": "Datastore Activity",
        "category_uid": CATEGORY_UID,
        "category_name": "Application Activity",
        "activity_id": activity_id,
        # Of what the class has no number for, the name is the source's own.
        "activity_name": activity if activity_id != OTHER else story.kind or "Other",
        "type_uid": CLASS_UID * 100 + activity_id,
        "type_name": f"Datastore Activity: {activity}",
        "message": f"{story.person} {story.outcome or 'asked'}: {story.kind} on {story.cluster}",
        "metadata": {
            "version": OCSF_VERSION,
            "profiles": ["security_control"],
            "uid": f"{story.session}/{story.statement}",
            "correlation_uid": story.session,
            "sequence": story.statement,
            "product": {"name": "safeconsole", "vendor_name": "safeconsole", "version": __version__},
        },
    }


def _timed(story: StatementStory) -> dict[str, Any]:
    asked = _milliseconds(story.asked)
    ended = {"end_time": _milliseconds(story.ended)} if story.ended else {}
    start = _milliseconds(story.sent) if story.sent else asked
    duration = round(story.elapsed_seconds * 1000)
    return {"time": asked, "timezone_offset": 0, "start_time": start, **ended, "duration": duration}


def _judged(story: StatementStory) -> dict[str, Any]:
    status_id, status = _STATUS.get(story.outcome, (OTHER, story.outcome or "asked"))
    severity_id, severity = _SEVERITY.get(story.verdict, (0, "Unknown"))
    denied = story.outcome == "refused" and not story.sent
    detail = story.end_message or story.message
    return {
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        **({"status_code": str(story.server_error)} if story.server_error else {}),
        **({"status_detail": detail} if detail else {}),
        "action_id": 2 if denied else 1 if story.sent else 0,
        "action": "Denied" if denied else "Allowed" if story.sent else "Unknown",
        "disposition_id": 2 if denied else 1 if story.sent else 0,
        "disposition": "Blocked" if denied else "Allowed" if story.sent else "Unknown",
        **({"policy": {"name": story.policy, "is_applied": not story.observed}} if story.policy else {}),
    }


def _placed(story: StatementStory) -> dict[str, Any]:
    ip = _ip_of(story.origin)
    terminal = {"terminal": story.origin} if story.origin.startswith("/dev/") else {}
    node = {"name": story.node, "instance_uid": story.server}
    named = {key: value for key, value in node.items() if value}
    table = {"table": {"name": story.tables[0]}} if len(story.tables) == 1 else {}
    return {
        "actor": {
            "user": {"name": story.person},
            "session": {"uid": story.session, "is_remote": bool(ip), **terminal},
            "app_name": f"safeconsole {story.face}".rstrip(),
        },
        "src_endpoint": {"hostname": story.host or "unknown", **({"ip": ip} if ip else {})},
        **({"dst_endpoint": named} if named else {}),
        "type": "Database",
        "type_id": 1,
        "database": {"name": story.cluster, "type": "Relational", "type_id": 1},
        **table,
        "query_info": {"query_string": story.sql, "uid": story.digest, "bytes": story.bytes},
    }


def _activity(story: StatementStory) -> tuple[int, str]:
    for beginning, activity in _ACTIVITIES.items():
        if story.kind.startswith(beginning):
            return activity
    return (4, "Query") if set(story.effects) <= {"read", "session"} and story.effects else (OTHER, "Other")


def _unmapped(story: StatementStory) -> dict[str, Any]:
    names = (
        "login", "agent", "environment", "tables", "hazards", "effects", "verdict", "rules", "role", "account",
        "elevation", "reason", "ticket", "approver", "outcome", "rows", "changed_rows", "peak_memory_bytes",
        "stopped_by", "ceiling", "kill",
    )  # fmt: skip
    return {name: value for name in names if (value := getattr(story, name))}


def _milliseconds(time: str) -> int:
    moment = moment_in(time)
    return round(moment.timestamp() * 1000) if moment else 0


def _ip_of(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
