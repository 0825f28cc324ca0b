"""
Coverage-guided fuzzing of the analysis: no text makes it raise, and none takes it long.

    pip install atheris
    python -m tests.differential.fuzz -max_total_time=300 -max_len=2000 [CORPUS_DIRECTORY]

A seed corpus is any directory of texts; `tests/cases` is one.
"""

from safeconsole.dialects import DIALECTS
import sys
import time

import atheris

with atheris.instrument_imports(include=["safeconsole"]):
    from safeconsole.sqltext.analysis import analyse
    from safeconsole.sqltext.lexer import LexicalRules, tokens
    from safeconsole.sqltext.splitting import is_complete
    from safeconsole.sqltext.literal_rules import Handling
    from safeconsole.sqltext.redaction import redacted
    from safeconsole.sqltext.vocabulary import Flavour

RULES = (
    LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704),
    LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=80036, ansi_quotes=True, no_backslash_escapes=True),
    LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101118),
    LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101118, oracle=True, pipes_as_concat=True),
    LexicalRules(dialect=DIALECTS[Flavour.SQLITE]),
)
SECONDS = 2.0
"""A text of this length takes milliseconds; whatever takes seconds is not linear."""


def look(data: bytes) -> None:
    """Read one text in every dialect."""
    text = data.decode("utf-8", "surrogatepass") if len(data) % 2 else data.decode("latin-1")
    for rules in RULES:
        began = time.monotonic()
        for statement in analyse(text, rules, schema="shop"):
            assert statement.effects
            redacted(statement.text, statement.kind, Handling(rules=rules))
        joined = "".join(text[token.start : token.end] for token in tokens(text, rules))
        assert joined == text
        is_complete(text, rules)
        assert time.monotonic() - began < SECONDS, (rules, text)


def one(data: bytes) -> None:
    """Take one input; bytes that are no text are nobody's concern."""
    try:
        look(data)
    except UnicodeDecodeError:
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
