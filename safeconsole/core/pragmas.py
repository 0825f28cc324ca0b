"""
Pragmas of the embedded engine: which of them only read.

Source: sqlite.org, "PRAGMA Statements".
"""

from __future__ import annotations

from safeconsole.core.catalogue.objects import words
from safeconsole.core.findings import Findings
from safeconsole.core.lexicon import TokenKind
from safeconsole.core.statement import TableName
from safeconsole.core.structure import name_of

# These take the name of an object as their value and read only.
_DESCRIBING = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_info", "index_xinfo", "index_list", "foreign_key_list"}
)
# These read only while they have no value.
_READABLE = words(
    """
    application_id auto_vacuum busy_timeout cache_size collation_list compile_options data_version database_list
    encoding foreign_keys freelist_count function_list journal_mode journal_size_limit locking_mode max_page_count
    mmap_size module_list page_count page_size pragma_list query_only recursive_triggers schema_version
    secure_delete synchronous temp_store threads user_version wal_autocheckpoint
    """
)
# These read every page, or every row.
_SCANNING = frozenset({"integrity_check", "quick_check", "foreign_key_check"})


def read_pragma(findings: Findings) -> None:
    """Judge `PRAGMA [schema.]name [= value | (value)]`."""
    tokens = findings.tokens[1:]
    if len(tokens) > 2 and tokens[1].text == ".":
        tokens = tokens[2:]
    if not tokens:
        findings.unknown("a pragma without a name")
        return
    name = name_of(tokens[0]).lower()
    judge_pragma(name, findings, valued=len(tokens) > 1)
    value = tokens[2] if len(tokens) > 2 else None
    if name in _DESCRIBING and value is not None and value.kind in {TokenKind.WORD, TokenKind.NAME, TokenKind.STRING}:
        findings.name_tables((TableName(schema=findings.schema or None, name=value.text.strip("'\"`[]")),))


def judge_pragma(name: str, findings: Findings, *, valued: bool) -> None:
    """Add what a pragma does; one that is not known to read is unknown."""
    if name in _DESCRIBING or (name in _READABLE and not valued):
        findings.recognise()
    elif name in _SCANNING:
        findings.recognise()
        findings.action("full-table-read", name)
    else:
        findings.unknown(f"the pragma {name} is not known to read only")
        findings.action("pragma-changes", name)
