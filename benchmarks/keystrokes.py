"""What a keystroke costs at the prompt: colours, completion among 50,000 tables, the verdict below, names on disk."""

import tempfile
import time

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from safeconsole.config.policies import PolicyFiles
from safeconsole.console.completing import SqlCompleter, SqlLexer
from safeconsole.console.names import SchemaNames, load_names, save_names
from safeconsole.console.prompt import LiveVerdict, preview_of
from safeconsole.dialects import DIALECTS
from safeconsole.policy.facts import Circumstances
from safeconsole.session.deciding import preview
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour

TABLES = 50_000
TYPED = (
    "SELECT o.id, o.status, c.name, COUNT(*) AS n\nFROM orders o JOIN customers c ON c.id = o.customer_id\n"
    "WHERE o.created_at > NOW() - INTERVAL 1 DAY AND o.status IN ('new', 'paid')\n"
    "GROUP BY o.id, o.status, c.name ORDER BY n DESC LIMIT 10;\n"
    "SELECT t.table_id FROM table_04 t, table_12345 AS u WHERE u.table_id = t."
)
ROUNDS = 3


def names_of(tables: int) -> SchemaNames:
    """Return a schema of so many tables, all columns of some of them known."""
    names = SchemaNames()
    names.set_tables(["orders", "customers", *(f"table_{number:05d}" for number in range(tables - 2))])
    columns = ("table_id", "status", "created_at", "customer_id", "total")
    names.columns = dict.fromkeys(names.tables[:2_000], columns)
    return names


def keystrokes(act) -> str:
    """Type the text key by key, and return p50, p99 and the longest, as the cells of a line."""
    times = []
    for _ in range(ROUNDS):
        for end in range(1, len(TYPED) + 1):
            started = time.perf_counter()
            act(TYPED[:end])
            times.append((time.perf_counter() - started) * 1000)
    times.sort()
    return f"{times[len(times) // 2]:.2f} | {times[int(len(times) * 0.99)]:.2f} | {times[-1]:.2f}"


def keystroke_figures() -> list[str]:
    """Return the section of the page."""
    rules, names = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90_700), names_of(TABLES)
    completer = SqlCompleter(lambda: rules, lambda: names, ())
    lexer = SqlLexer(lambda: rules)
    policy, circumstances = PolicyFiles().load("baseline"), Circumstances(flavour=Flavour.MYSQL, cluster="shop")

    def judge(text: str):
        return tuple(
            preview_of(statement, preview(statement, policy=policy, circumstances=circumstances).decision, to="")
            for statement in analyse(text, rules)
        )

    live = LiveVerdict(judge, lambda: None)
    event = CompleteEvent(text_inserted=True)
    acts = (
        ("colours", lambda text: SqlLexer.lex_document(lexer, Document(text))(0)),
        (
            f"completion among {TABLES:,} tables",
            lambda text: list(completer.get_completions(Document(text, len(text)), event)),
        ),
        ("live verdict, what the key waits for", live.typed),
        ("live verdict, in its own thread", judge),
    )
    lines = [f"| {name} | {keystrokes(act)} |" for name, act in acts]
    live.close()
    return [
        "### A keystroke",
        "",
        "| | p50, ms | p99, ms | longest, ms |",
        "|---|---:|---:|---:|",
        *lines,
        "",
        *_disk(names),
    ]


def _disk(names: SchemaNames) -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        started = time.perf_counter()
        save_names(directory, "shop", "shop", names)
        saved = time.perf_counter()
        assert load_names(directory, "shop", "shop").tables == names.tables
        loaded = time.perf_counter()
    return [
        (
            f"Names of {TABLES:,} tables on disk: kept in {(saved - started) * 1000:.0f} ms,"
            f" read in {(loaded - saved) * 1000:.0f} ms."
        ),
        "",
    ]


if __name__ == "__main__":
    print("\n".join(keystroke_figures()))
