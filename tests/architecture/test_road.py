"""There is one road, and no side door: who may reach a server, and who may make what reaches it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "safeconsole"
ENGINES = {str(path.relative_to(PACKAGE)) for name in ("mysql", "sqlite") for path in (PACKAGE / name).rglob("*.py")}
DEMO = {str(path.relative_to(PACKAGE)) for path in (PACKAGE / "demo").rglob("*.py")}
RECONNECT = {str(path.relative_to(PACKAGE)) for path in (PACKAGE / "reconnect").rglob("*.py")}
"""A library that applications import; no part of the console does (`pyproject.toml`)."""

STORES = {
    "audit/central.py",
    "audit/central_archive.py",
    "approvals/request_database.py",
    "audit/index.py",
    "audit/index_tables.py",
    "capacity/shared_shelf.py",
    "gateway/peers.py",
    "gateway/token_database.py",
}
"""Write the console's own records and reports to a database of the team's, never a person's statement."""

FILES = {"audit/stored.py"}
"""Reads exported files through a database in this process, closed to everything else."""

TALKS = ENGINES | DEMO | RECONNECT | STORES | FILES

SINKS = {"approvals/notices.py", "audit/shipping.py"}
"""Send records to others, never statements."""

MAY_NAME = {
    # What has an effect on a server.
    "send": {"session/gate.py", "mysql/connection.py", "sqlite/connection.py"} | SINKS,
    "batches": {"session/result.py"},
    "prove": {"session/resources.py"},
    "estimate": {"session/connections.py", "session/deciding.py"},
    # What drivers are told with.
    "cursor": TALKS,
    "execute": TALKS | {"python/database.py"},
    "executemany": TALKS,
    "executescript": TALKS,
    "exec_driver_sql": TALKS,
    # The sign-in has authlib prepare a request to the provider.
    "prepare": TALKS | {"web/sign_in.py"},
    "begin_statement": TALKS,
    # What makes the only thing that is sent.
    "Permit": {"policy/decision.py"},
    "permit_from_decision": {"session/gate.py"},
}
"""The only files that call, or name, each of these; facades of the Python console call their own."""


READ_AS_DATA = {"estimate"}
"""Also the name of a value that many read; only the call reaches a server."""


def names_reached(tree):
    """Yield the name of everything that is called, fetched as an attribute, or fetched by a text that names it."""
    annotations = {id(inner) for node in ast.walk(tree) for inner in annotated(node)}
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if id(node) in annotations:
            continue
        match node:
            # A session's `execute` is the road itself; a driver's is what must not be reached beside it.
            case ast.Attribute(
                value=ast.Attribute(attr="gate" | "_gate" | "session") | ast.Name(id="gate" | "session"), attr="execute"
            ):
                pass
            case ast.Attribute(attr=name) if name not in READ_AS_DATA or id(node) in called:
                yield name, node.lineno
            case ast.Call(func=ast.Name(id="getattr" | "methodcaller"), args=[*_, ast.Constant(value=str(name))]):
                yield name, node.lineno
            case ast.Call(func=ast.Name(id=name)):
                yield name, node.lineno


def annotated(node):
    for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
        if part is not None:
            yield from ast.walk(part)


SOURCES = {
    str(path.relative_to(PACKAGE)): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
REACHED = {path: {name for name, _ in names_reached(tree)} for path, tree in SOURCES.items()}


@pytest.mark.parametrize("name", MAY_NAME)
def test_only_those_who_may_reach_a_server_do(name):
    found = {path for path, reached in REACHED.items() if name in reached}
    # An engine may use its own parts; a permit is made by nobody but the decision.
    own = set() if name == "Permit" else ENGINES
    assert not found - MAY_NAME[name] - own


def test_the_search_finds_what_it_is_for():
    """A search that finds nothing would hold any road for the only one."""
    for name in ("send", "batches", "prove", "estimate", "Permit", "permit_from_decision"):
        for path in MAY_NAME[name]:
            assert name in REACHED[path], (name, path)
    assert "send" in {name for name, _ in names_reached(ast.parse("getattr(connection, 'send')(permit)"))}


def test_the_gate_sends_in_one_place():
    assert [name for name, _ in names_reached(SOURCES["session/gate.py"])].count("send") == 1


def test_nobody_alters_a_permit():
    """A copy with another text, node or account would be one that nobody decided."""
    altered = [
        (path, node.lineno)
        for path, tree in SOURCES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and (node.func.id if isinstance(node.func, ast.Name) else node.func.attr)
        in {"replace", "__setattr__", "__replace__"}
        and node.args
        and "permit" in ast.unparse(node.args[0]).lower()
    ]
    assert not altered


def test_the_intent_stands_before_the_send():
    """In the text of the road too: what is recorded after it was sent was not recorded in time."""
    (run,) = [
        node
        for node in ast.walk(SOURCES["session/gate.py"])
        if isinstance(node, ast.FunctionDef) and node.name == "_attempt"
    ]
    lines = {
        name: line for name, line in names_reached(run) if name in {"asked", "_permit", "proven", "intent", "_answered"}
    }
    assert sorted(lines, key=lines.get) == ["asked", "_permit", "proven", "intent", "_answered"]
    callers = [path for path, reached in REACHED.items() if "_answered" in reached]
    assert callers == ["session/gate.py"]
