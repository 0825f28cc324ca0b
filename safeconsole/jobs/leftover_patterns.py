"""
Names that schema-migration tools leave behind, as data.

The first pattern that fits decides. Sources: gh-ost, "Cheatsheet" and its --timestamp-old-table; Percona Toolkit
manual, pt-online-schema-change; LHM's source, `Lhm.cleanup`; OnlineSchemaChange's constants; Vitess, "Table lifecycle"
and its schema package; Spirit's source; MySQL 9.7 manual, "Troubleshooting InnoDB Data Dictionary Operations"; the
MariaDB 10.6 release notes on atomic DDL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.settings import LeftoverSettings

ASIDE = "zz_drop_"
"""What a removal plan of ours puts before the name of a table that is to be dropped a day later."""


class Part(StrEnum):
    """What a leftover was in its migration."""

    COPY = "copy being filled"
    OLD = "the table as it was"
    LOG = "log of the migration"
    BIN = "waiting to be removed by its tool"
    OTHER = "leftover"


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """
    One kind of leftover.

    Attributes:
        tool: who makes it.
        part: what it was in the migration.
        name: fits the whole name; its groups `base` and `stamp` may be missing.
        certain: the name alone proves whose it is; else a table of the application may be called so.
        triggers: names of the triggers that the running tool has on the base table, `{schema}` and `{base}` filled in.
        what: what such a table is, where it is more than its part.
    """

    tool: str
    part: Part
    name: re.Pattern[str]
    certain: bool = True
    triggers: tuple[str, ...] = ()
    what: str = ""


_PT_TRIGGERS = tuple(f"pt_osc_{{schema}}_{{base}}_{event}" for event in ("ins", "upd", "del"))
_LHM_TRIGGERS = tuple(f"lhmt_{event}_{{base}}" for event in ("ins", "upd", "del"))
_OSC_TRIGGERS = tuple(f"__osc_{event}_{{base}}" for event in ("ins", "upd", "del"))

_UUID = r"[0-9a-f]{8}(?:_[0-9a-f]{4}){3}_[0-9a-f]{12}"

_KNOWN: tuple[tuple[str, Part, str, bool, tuple[str, ...]], ...] = (
    ("our own removal plan", Part.OTHER, f"{ASIDE}.+", True, ()),
    ("Vitess", Part.COPY, rf"_{_UUID}_(?P<stamp>\d{{14}})_(?:vrepl|gho|new)", True, ()),
    ("Vitess", Part.LOG, rf"_{_UUID}_(?P<stamp>\d{{14}})_ghc", True, ()),
    ("Vitess", Part.OLD, rf"_{_UUID}_(?P<stamp>\d{{14}})_(?:del|old)", True, ()),
    ("gh-ost", Part.OLD, r"_(?P<base>.+)_(?P<stamp>\d{14})_del", True, ()),
    ("gh-ost", Part.COPY, r"_(?P<base>.+)_gho", True, ()),
    ("gh-ost", Part.LOG, r"_(?P<base>.+)_ghc", True, ()),
    ("gh-ost", Part.OLD, r"_(?P<base>.+)_del", True, ()),
    ("LHM", Part.OLD, r"lhma_(?P<stamp>\d{4}(?:_\d\d){5}(?:_\d{3})?)_(?P<base>.+)", True, _LHM_TRIGGERS),
    ("LHM", Part.COPY, r"lhmn_(?P<base>.+)", True, _LHM_TRIGGERS),
    ("Facebook OSC", Part.COPY, r"__osc_new_(?P<base>.+)", True, _OSC_TRIGGERS),
    ("Facebook OSC", Part.LOG, r"__osc_chg_(?P<base>.+)", True, _OSC_TRIGGERS),
    ("Facebook OSC", Part.OLD, r"__osc_old_(?P<base>.+)", True, _OSC_TRIGGERS),
    ("Vitess", Part.COPY, r"_vt_(?:vrp|gho)_[0-9a-f]{32}_(?P<stamp>\d{14})_", True, ()),
    ("Vitess", Part.BIN, r"_vt_(?:hld|prg|evc|drp)_[0-9a-f]{32}_(?P<stamp>\d{14})_", True, ()),
    ("Vitess", Part.BIN, r"_vt_(?:HOLD|PURGE|EVAC|DROP)_[0-9a-f]{32}_(?P<stamp>\d{14})", True, ()),
    ("Spirit", Part.LOG, r"_spirit_(?:sentinel|checkpoint)", True, ()),
    ("Spirit", Part.LOG, r"_(?P<base>.+)_(?:chkpnt|sentinel)", True, ()),
    ("Spirit", Part.OLD, r"_(?P<base>.+)_old_(?P<stamp>\d{8}_\d{6})", True, ()),
    ("pt-online-schema-change or Spirit", Part.COPY, r"_{1,10}(?P<base>[^_].*)_new", True, _PT_TRIGGERS),
    ("pt-online-schema-change or Spirit", Part.OLD, r"_{1,10}(?P<base>[^_].*)_old", True, _PT_TRIGGERS),
    # MariaDB's statistics name it as a table of before 5.1. Source: MySQL 9.7 and MariaDB 10.11, seen during an ALTER.
    ("the server", Part.BIN, r"(?:#mysql50#)?#sql.*", True, ()),
    (
        "by hand, or a Rails migration",
        Part.OLD,
        r"(?P<base>.+)_(?:old|bak|backup|copy|tmp|archive[d]?)(?:_?(?P<stamp>\d{8}(?:\d{6})?))?",
        False,
        (),
    ),
    ("by hand, or a Rails migration", Part.OLD, r"(?:old|bak|backup|copy_of|tmp)_(?P<base>.+)", False, ()),
)

_WHAT = {"the server": "copy of an ALTER TABLE that runs, or that a crash ended"}

KNOWN_PATTERNS: tuple[Pattern, ...] = tuple(
    Pattern(
        tool=tool,
        part=part,
        name=re.compile(name, re.DOTALL),
        certain=certain,
        triggers=triggers,
        what=_WHAT.get(tool, ""),
    )
    for tool, part, name, certain, triggers in _KNOWN
)
"""Every name known; the uncertain ones last."""


def patterns_of(configured: Mapping[str, LeftoverSettings]) -> tuple[Pattern, ...]:
    """
    Return the team's own patterns, and after them the known ones.

    Raises:
        ConfigurationError: a pattern is no regular expression.
    """
    own = []
    for tool, settings in configured.items():
        try:
            name = re.compile(settings.pattern, re.DOTALL)
        except re.error as error:
            raise ConfigurationError(
                f"leftovers.{tool}.pattern: it is no regular expression: {error}",
                instead=r"such as '^_archived_(?P<base>.+)_(?P<stamp>\d{8})$'",
            ) from error
        own.append(Pattern(tool=tool, part=Part.OTHER, name=name, certain=settings.certain, what=settings.what))
    return (*own, *KNOWN_PATTERNS)
