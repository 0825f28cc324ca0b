"""
Write the list of modules in docs/architecture.md anew: one line a module, from its docstring.

    python tests/architecture/write_architecture.py
"""

import ast
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "architecture.md"
BEGIN, END = "<!-- modules: begin -->", "<!-- modules: end -->"


def sentence(path: Path) -> str:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(doc.split("\n\n")[0].split())


def main() -> None:
    lines, folder = [], None
    for path in sorted((REPOSITORY / "safeconsole").rglob("*.py"), key=lambda path: (path.parent, path.name)):
        if path.name == "__init__.py" or not path.read_text(encoding="utf-8").strip():
            continue
        if path.parent != folder:
            folder = path.parent
            room = folder / "__init__.py"
            lines += ["", f"### {folder.relative_to(REPOSITORY)}", ""]
            if room.exists() and sentence(room):
                lines += [sentence(room), ""]
        lines.append(f"* `{path.relative_to(REPOSITORY)}`: {sentence(path)}")
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN)
    tail = rest.split(END)[1]
    PAGE.write_text(f"{head}{BEGIN}\n" + "\n".join(lines).strip("\n") + f"\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
