"""The examples in docs/python.md, run in order on the demo's cluster."""

import contextlib
import doctest
import io
import re
from pathlib import Path

import pytest
import yaml

from safeconsole.policy.document import policy_from_document
from safeconsole.cli.python import python

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def test_the_examples_say_what_happens(console):
    text = PAGE.read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 5
    example = doctest.DocTestParser().get_doctest("\n".join(blocks), console.names, "docs/python.md", str(PAGE), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    # doctest spells the ellipsis with three dots.
    for each in example.examples:
        each.want = each.want.replace("…", "...")
    found = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()):
        runner.run(example, out=found.write, clear_globs=False)
    assert runner.failures == 0, found.getvalue()


@pytest.mark.parametrize(
    "option", [option for parameter in python.params for option in parameter.opts if option == "--app"]
)
def test_the_page_names_the_option(option):
    assert option in PAGE.read_text()


def test_the_rule_for_loops_is_a_rule():
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    policy = policy_from_document(
        "loops", {"rules": yaml.safe_load(block)}, source="loops.yaml", text_hash="ab" * 32, lines={}
    )
    assert [rule.id for rule in policy.rules] == ["python-loops"]
