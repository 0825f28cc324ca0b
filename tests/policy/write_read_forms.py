"""
Write the read forms of the shipped policies anew, after one of them was changed.

    python tests/policy/write_read_forms.py
"""

from pathlib import Path

import msgspec

from safeconsole.config.policies import READ_SUFFIX, read_form_of

POLICIES = Path(__file__).parents[2] / "policies"


def main() -> None:
    for path in sorted(POLICIES.glob("*.yaml")):
        if not path.stem.endswith(".cases"):
            form = msgspec.json.encode(read_form_of(path.read_bytes(), str(path)))
            path.with_suffix(READ_SUFFIX).write_bytes(msgspec.json.format(form, indent=1) + b"\n")


if __name__ == "__main__":
    main()
