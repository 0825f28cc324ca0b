"""
Put the help of the command line into the README as it is printed.

    python tests/architecture/write_readme.py
"""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def main() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "safeconsole", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "120", "HOME": "/nonexistent"},
    ).stdout.strip()
    page = README.read_text(encoding="utf-8")
    README.write_text(
        re.sub(r"```\n.*?\n```", lambda _: f"```\n{printed}\n```", page, flags=re.DOTALL), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
