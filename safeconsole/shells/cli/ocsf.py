"""
Statements as OCSF events of the class Datastore Activity (6005).

Source: Open Cybersecurity Schema Framework 1.4, classes "datastore_activity" and "base_event",
dictionaries "status_id", "severity_id", "database.type_id".
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from safeconsole.core.story import StatementStory

OCSF_VERSION = "1.4.0"
CLASS_UID = 6005
CATEGORY_UID = 6

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
"""By the beginning of a statement's kind; any other read is Query, anything else Other."""

_STATUS = {"done": (1, "Success"), "refused": (2, "Failure"), "stopped": (2, "Failure"), "unknown": (0, "Unknown")}
_SEVERITY = {"allow": (1, "Informational"), "confirm": (2, "Low"), "elevate": (3, "Medium"), "deny": (3, "Medium")}


def ocsf_event(story: StatementStory) -> dict[str, Any]:
    """Return one statement as an event; its `metadata.uid` is the same whenever it is exported."""
    activity_id, activity = _activity(story)
    status_id, status = _STATUS.get(story.outcome, (99, "Other"))
    severity_id, severity = _SEVERITY.get(story.verdict, (0, "Unknown"))
    return {
        "class_uid": CLASS_UID,
        "class_name": "Datastore Activity",
        "category_uid": CATEGORY_UID,
        "category_name": "Application Activity",
        "activity_id": activity_id,
        "activity_name": activity,
        "type_uid": CLASS_UID * 100 + activity_id,
        "type_name": f"Datastore Activity: {activity}",
        "time": _milliseconds(story.asked),
        "start_time": _milliseconds(story.sent or story.asked),
        "end_time": _milliseconds(story.ended or story.asked),
        "duration": round(story.elapsed_seconds * 1000),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "status_code": str(story.server_error) if story.server_error else "",
        "status_detail": story.end_message or story.message,
        "message": f"{story.person} {story.outcome or 'asked'}: {story.kind} on {story.cluster}",
        "metadata": {
            "version": OCSF_VERSION,
            "uid": f"{story.session}/{story.statement}",
            "product": {"name": "safeconsole", "vendor_name": "safeconsole"},
        },
        "actor": {"user": {"name": story.person}, "session": {"uid": story.session, "terminal": story.face}},
        "src_endpoint": {"hostname": story.host, **({"ip": story.origin} if _is_ip(story.origin) else {})},
        "dst_endpoint": {"name": story.node, "instance_uid": story.server},
        "type": "Database",
        "type_id": 1,
        "database": {"name": story.cluster, "type": "Relational", "type_id": 1},
        "query_info": {"query_string": story.sql, "uid": story.digest, "bytes": story.bytes},
        "unmapped": _unmapped(story),
    }


def _activity(story: StatementStory) -> tuple[int, str]:
    for beginning, activity in _ACTIVITIES.items():
        if story.kind.startswith(beginning):
            return activity
    return (4, "Query") if set(story.effects) <= {"read", "session"} and story.effects else (99, "Other")


def _unmapped(story: StatementStory) -> dict[str, Any]:
    names = (
        "login", "agent", "environment", "tables", "hazards", "effects", "verdict", "rules", "policy", "role",
        "account", "elevation", "reason", "ticket", "approver", "outcome", "rows", "changed_rows", "peak_memory_bytes",
        "stopped_by", "ceiling", "kill",
    )  # fmt: skip
    return {name: value for name in names if (value := getattr(story, name))}


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000) if time else 0


def _is_ip(text: str) -> bool:
    return ":" in text or (text.count(".") == 3 and text.replace(".", "").isdecimal())
