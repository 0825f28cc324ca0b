"""The documents held to the code."""

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "safeconsole"


def test_the_architecture_page_names_every_module_once_and_no_other():
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"^\* `(safeconsole/[^`]+\.py)`: \S", page, flags=re.MULTILINE)
    there = {
        str(path.relative_to(REPOSITORY))
        for path in PACKAGE.rglob("*.py")
        if path.read_text(encoding="utf-8").strip() and path.name != "__init__.py"
    }
    assert len(named) == len(set(named))
    assert set(named) == there


def test_the_readme_shows_the_help_as_it_is_printed():
    printed = subprocess.run(
        [sys.executable, "-m", "safeconsole", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "120", "HOME": "/nonexistent"},
    ).stdout
    assert printed.strip() in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_no_document_and_no_code_names_what_a_user_does_not_have():
    words = re.compile(r"farm-|\.library|shared/facts|\.\./shared|issue #?\d", re.IGNORECASE)
    found = []
    for folder in ("safeconsole", "policies", "docs", "benchmarks", ".ci"):
        for path in (REPOSITORY / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".yaml", ""} and path.is_file():
                found += [
                    f"{path}: {line}" for line in path.read_text(encoding="utf-8").splitlines() if words.search(line)
                ]
    assert not found


def test_every_decision_has_a_number_of_its_own_and_every_link_to_one_leads_there():
    decisions = sorted(path.name for path in (REPOSITORY / "docs" / "decisions").iterdir())
    assert [int(name[:4]) for name in decisions] == list(range(1, len(decisions) + 1))
    for page in [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]:
        for linked in re.findall(r"\((?:docs/)?decisions/([^)#]+)", page.read_text()):
            assert linked in decisions, f"{page.name} links to {linked}"
