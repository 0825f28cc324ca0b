"""What the import contracts cannot see: forbidden calls in the core, and what a start really imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "safeconsole"
PURE = sorted(path for name in ("sqltext", "dialects", "policy") for path in (PACKAGE / name).rglob("*.py"))
BANNED_CALLS = {"open", "__import__", "eval", "exec", "compile", "input", "print", "breakpoint"}
BANNED_ATTRIBUTES = {"now", "today", "utcnow", "import_module", "urandom", "getenv"}


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node


def imported_after(code):
    """Return the modules a fresh interpreter holds after running code."""
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(shown.stdout.split())


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pure_packages_call_nothing_that_touches_the_world(path):
    found = []
    for call in calls(path):
        if isinstance(call.func, ast.Name) and call.func.id in BANNED_CALLS:
            found.append(f"{call.lineno}: {call.func.id}()")
        if isinstance(call.func, ast.Attribute) and call.func.attr in BANNED_ATTRIBUTES:
            found.append(f"{call.lineno}: .{call.func.attr}()")
    assert not found


KNOWS_FLAVOURS = {"dialects", "mysql", "sqlite", "app.py"}
STORES = {"audit/central.py", "capacity/shared_shelf.py", "gateway/peers.py", "gateway/token_database.py"}
"""Where these words are SQLAlchemy's, of the database that keeps the journal or a report."""
FLAVOUR_NAMES = {"mysql", "mariadb", "sqlite", "aurora-mysql"}


def names_a_flavour(node):
    """Whether a side of a comparison is a flavour, or a literal that holds one's name."""
    parts = list(ast.walk(node))
    return any(
        (isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "Flavour")
        or (isinstance(part, ast.Constant) and part.value in FLAVOUR_NAMES)
        for part in parts
    )


def test_flavours_are_compared_where_they_are_known_alone():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE)
        if where.parts[0] in KNOWS_FLAVOURS or where.as_posix() in STORES:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            sides += [node.pattern] if isinstance(node, ast.match_case) else []
            if any(map(names_a_flavour, sides)):
                found.append(f"{where}:{sides[0].lineno}")
    assert not found, "look the difference up in the dialect"


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pure_packages_keep_no_state_of_their_own(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Global)]


def test_pure_packages_bring_no_driver_and_no_terminal():
    modules = imported_after("import safeconsole.sqltext.analysis, safeconsole.policy.policy, safeconsole.audit.record")
    assert modules.isdisjoint({"pymysql", "sqlite3", "sqlalchemy", "prompt_toolkit", "ptpython", "rich", "click"})


def test_a_one_shot_imports_only_what_it_needs():
    code = (
        "import os\n"
        "from safeconsole.app import run\n"
        "code = run(['demo', '-e', 'SELECT id FROM orders LIMIT 1', '--format', 'csv'], dict(os.environ))\n"
        "assert code == 0, code\n"
    )
    modules = imported_after(code)
    unwanted = {"prompt_toolkit", "ptpython", "rich", "sqlglot", "sqlalchemy", "keyring", "pymysql", "cryptography"}
    assert modules.isdisjoint(unwanted), sorted(modules & unwanted)


ONLY_FOR_OTHER_MOMENTS = {
    "yaml", "difflib",
    "safeconsole.policy.cases", "safeconsole.audit.verification", "safeconsole.audit.review",
    "safeconsole.config.policy_text", "safeconsole.audit.signing",
    "safeconsole.cli.policy", "safeconsole.cli.audit_review", "safeconsole.cli.capacity",
    "safeconsole.cli.rows", "safeconsole.capacity", "safeconsole.doctor", "safeconsole.fleet", "safeconsole.console", "safeconsole.python",
}  # fmt: skip
"""What tests policies, checks journals, measures sizes, or talks: no start with a statement waits for it."""


def test_a_one_shot_on_mysql_imports_the_driver_and_no_more():
    modules = imported_after(
        "import os\n"
        "from safeconsole.app import Program\n"
        "import safeconsole.cli.sql, safeconsole.mysql.engine\n"
        "assert Program(dict(os.environ)).policies.load('baseline').rules\n"
        "assert safeconsole.mysql.dialling.resolve('localhost:3306').ip\n"
    )
    assert "pymysql" in modules
    unwanted = {"prompt_toolkit", "ptpython", "rich", "sqlglot", "sqlalchemy", "keyring", "subprocess"}
    unwanted |= {"MySQLdb", "tempfile", "encodings.idna"}
    unwanted |= ONLY_FOR_OTHER_MOMENTS
    assert modules.isdisjoint(unwanted), sorted(modules & unwanted)


def test_a_console_imports_its_jobs_when_they_are_asked_for():
    modules = imported_after("import safeconsole.app, safeconsole.cli.sql, safeconsole.console.console")
    assert "prompt_toolkit" in modules
    unwanted = {
        "ptpython",
        "rich",
        "sqlglot",
        "sqlalchemy",
        "keyring",
        "safeconsole.capacity",
        "safeconsole.doctor",
        "safeconsole.fleet",
        "yaml",
    }
    assert modules.isdisjoint(unwanted), sorted(modules & unwanted)


def test_every_public_thing_says_what_it_is():
    silent = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree):
            silent.append(str(path))
    assert not silent


def test_the_console_s_own_threads_have_names_that_the_audit_hook_knows():
    """In the Python console a thread of another name is taken for the person's own."""
    names = {}
    for path in PACKAGE.rglob("*.py"):
        for call in calls(path):
            if isinstance(call.func, ast.Attribute) and call.func.attr == "Thread":
                name = next((ast.unparse(word.value) for word in call.keywords if word.arg == "name"), "")
                names[f"{path.relative_to(PACKAGE)}:{call.lineno}"] = name.lstrip("f").strip("'")
    started_elsewhere = ("demo/", "reconnect/")
    strange = {where: name for where, name in names.items() if not name.startswith("safeconsole-")}
    assert not {where: name for where, name in strange.items() if not where.startswith(started_elsewhere)}


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
MOST_LINES, FEWEST_LINES = 500, 40
SMALL_ON_PURPOSE = {"clock.py", "patterns.py"}
"""Everybody imports them, and they import nobody: docs/decisions/0018."""


def test_no_module_is_too_long_to_be_read_at_once_or_too_short_to_be_one():
    lines = {str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}
    assert {name for name, count in lines.items() if count < FEWEST_LINES} == SMALL_ON_PURPOSE


def test_a_class_name_occurs_once():
    """Whoever searches for a name finds one thing, with or without an underscore before it."""
    places = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.strip("_"), []).append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert not {name: where for name, where in places.items() if len(where) > 1}


def imports_of(path, names):
    """Return what of our own a module imports at any time, inside functions too, but for what only its types need."""
    found, waiting = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            if isinstance(node, ast.ImportFrom):
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            waiting.append(node)
    return found & names


def test_no_module_imports_in_a_circle_not_even_late():
    """A circle that only a late import hides is one module in two files."""
    named = {".".join(("safeconsole", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in MODULES}
    waits = {name: imports_of(path, named.keys()) - {name} for name, path in named.items()}
    while free := {name for name, needed in waits.items() if not needed}:
        waits = {name: needed - free for name, needed in waits.items() if name not in free}
    assert not waits, "these import one another, or what does"


def test_every_value_is_a_struct():
    """A class of the standard library's costs every start 0.7 ms; applications that reconnect get it with no more of us."""
    slow = [
        str(path)
        for path in PACKAGE.rglob("*.py")
        if "reconnect" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses"
    ]
    assert not slow, "a value is a msgspec.Struct, frozen and with named arguments"


def test_a_prompt_stands_before_what_a_session_needs_is_imported():
    modules = imported_after("import safeconsole.app, safeconsole.cli.sql")
    unwanted = {
        "prompt_toolkit",
        "pymysql",
        "cel_expr_python",
        "rich",
        "safeconsole.session.session",
        "safeconsole.sqltext.analysis",
    }
    assert modules.isdisjoint(unwanted), sorted(modules & unwanted)


def test_no_command_waits_for_an_extra_that_is_not_installed():
    """Extras are imported when what they are for is asked for: a plain installation has every command."""
    imported_after(
        "import sys\n"
        "for extra in ('pyarrow', 'boto3', 'opentelemetry', 'pandas', 'polars'):\n"
        "    sys.modules[extra] = None\n"
        "import safeconsole.app\n"
        "from importlib import import_module\n"
        "from pkgutil import walk_packages\n"
        "import safeconsole.cli as cli, safeconsole.console as console, safeconsole.python as python\n"
        "for face in (cli, console, python):\n"
        "    for module in walk_packages(face.__path__, face.__name__ + '.'):\n"
        "        import_module(module.name)\n"
    )


def test_only_the_program_reads_who_started_the_process():
    """A session belongs to the person of its door; nothing asks the process behind its back."""
    readers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for call in calls(path)
        if isinstance(call.func, ast.Name) and call.func.id == "who"
    }
    assert readers == {"app.py"}


def test_the_file_that_sees_both_sides_only_builds():
    assert len((PACKAGE / "app.py").read_text(encoding="utf-8").splitlines()) <= 250
