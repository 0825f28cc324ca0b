"""The documents held to the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "safeconsole"


PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
PACKAGES = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def test_the_architecture_page_names_every_package_in_at_most_120_lines():
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert not {name for name in PACKAGES if f"`{name}/`" not in page}
    assert len(page.splitlines()) <= 120


def paths_of(page: str) -> set[str]:
    """What a page names as a file or folder of this repository: `docs/limits.md`, `session/gate.py`, `cluster/`."""
    quoted = re.findall(r"`([\w./-]+)`", page)
    tops = {"safeconsole", "docs", "tests", "policies", "benchmarks", *PACKAGES}
    return {
        name
        for name in quoted
        if "/" in name and not name.startswith("/") and (name.split("/")[0] in tops or name.endswith((".py", ".md")))
    } | {name for name in quoted if re.fullmatch(r"\w[\w-]*\.(py|md)", name)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page):
    def exists(name: str) -> bool:
        places = [REPOSITORY, PACKAGE, REPOSITORY / "docs", page.parent]
        return any((place / (name + end)).exists() for place in places for end in ("", ".py"))

    assert not {name for name in paths_of(page.read_text(encoding="utf-8")) if not exists(name)}


def test_the_readme_shows_the_help_as_it_is_printed():
    printed = subprocess.run(
        [sys.executable, "-m", "safeconsole", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "120", "HOME": "/nonexistent"},
    ).stdout
    assert printed.strip() in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_readme_leads_to_every_page_and_soon_to_a_query():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert not [page.name for page in (REPOSITORY / "docs").glob("*.md") if f"docs/{page.name}" not in readme]
    lines = readme.splitlines()
    assert next(number for number, line in enumerate(lines) if line.startswith("    ") and "SELECT" in line) < 80


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
    for page in PAGES:
        for linked in re.findall(r"\((?:docs/)?decisions/([^)#]+)", page.read_text()):
            assert linked in decisions, f"{page.name} links to {linked}"


ORDINARY = {"failure", "input", "kind", "latest", "own", "policies", "queue", "recorder", "status", "watch", "writes"}
"""Words of class names that a dictionary explains better than a glossary."""


def words_of(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z][a-z]+|[A-Z]+(?![a-z])", name)}


def test_the_glossary_lists_only_names_that_exist():
    rows = re.findall(
        r"^\| [^|]+ \| ([^|]*) \| ", (REPOSITORY / "docs" / "glossary.md").read_text(), flags=re.MULTILINE
    )
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    code = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    defined = set(re.findall(r"^\s*(?:class|def|type) (\w+)", code, flags=re.MULTILINE))
    defined |= set(re.findall(r"^(\w+)(?= = )", code, flags=re.MULTILINE))
    assert listed
    assert not listed - defined


def test_public_classes_of_the_domain_are_named_in_the_words_of_the_glossary():
    known = set(re.findall(r"[a-z]+", (REPOSITORY / "docs" / "glossary.md").read_text(encoding="utf-8").lower()))
    unlisted = {}
    for folder in ("session", "cluster", "policy"):
        for path in (PACKAGE / folder).glob("*.py"):
            for name in re.findall(r"^class ([A-Z]\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
                missing = {word for word in words_of(name) if not known & {word, word.removesuffix("s"), word + "s"}}
                if missing - ORDINARY:
                    unlisted[name] = missing
    assert not unlisted, "name these in the glossary's words, or add the field's term to docs/glossary.md"
