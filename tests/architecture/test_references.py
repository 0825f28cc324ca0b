"""The names of our modules and their members in docstrings and comments."""

import ast
import re
from pathlib import Path

from safeconsole.policy.facts import FACTS

PACKAGE = Path(__file__).parents[2] / "safeconsole"
ELSEWHERE = {"gateway.tokens", "log.record", "mysql.tablespaces"}
"""Tables, and a field of OpenTelemetry."""
OTHERS = {"db", "information_schema", "performance_schema"}
"""What is in them is no module of ours: the Python console's object, a server's dictionaries."""


def members_of(path: Path) -> set[str]:
    """What a module defines at its top: classes, functions, names."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef() | ast.FunctionDef():
                found.add(node.name)
            case ast.Assign():
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


def known_names() -> dict[str, set[str]]:
    """Of each package its modules, of each module its members; modules of one name are taken together."""
    known: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        if path.name != "__init__.py":
            known.setdefault(path.stem, set()).update(members_of(path))
            known.setdefault(path.parent.name, set()).add(path.stem)
    return known


def stale(text: str, known: dict[str, set[str]], facts: set[str]) -> set[str]:
    """Dotted names in a text whose second part is a module or member of ours, and whose first part has none such."""
    ours = set().union(*known.values())
    references = re.findall(r"(?<!`)`([a-z_]+)\.([A-Za-z_]+)(?:\.[A-Za-z_.]+)?`(?!`)", text)
    return {
        f"{first}.{second}"
        for first, second in references
        if second in ours
        and second not in known.get(first, set())
        and first not in OTHERS
        and f"{first}.{second}" not in ELSEWHERE | facts
    }


def test_every_module_and_member_that_a_docstring_or_comment_names_exists():
    known = known_names()
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if names := stale(path.read_text(encoding="utf-8"), known, set(FACTS)):
            found[path.relative_to(PACKAGE).as_posix()] = names
    assert not found, "what these name is not, or no longer, in such a module"


def test_a_name_that_moved_is_found_and_another_dotted_name_is_not():
    known = {"session": {"gate"}, "gate": {"Gate"}, "cluster": {"engine"}, "engine": {"Connection"}}
    text = "`interfaces.Connection`, `core.gate`; `gate.Gate`, `session.gate.Gate`, `engine.dispose`, `shop.orders`, `a.py`"
    assert stale(text, known, set()) == {"interfaces.Connection", "core.gate"}
