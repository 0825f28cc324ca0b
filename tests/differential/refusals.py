"""
How many plain reads are refused, over statements that are not ours.

`python -m tests.differential.refusals [mysql|mariadb ...] [--repositories DIRECTORY] [--show N]`

The statements are those of the servers' own suites, and whatever begins like a read in the files and string literals
of the git repositories in a directory (bare or not, one folder each, or one folder deeper). A real server judges each:
its grammar takes the statement or not, and a call of a function that nobody but a stored function can answer is
proven by offering the same text with another name there, and with an expression as its first argument. What the
grammar takes, and whose words name no effect, is a plain read; those that are not called one are refused.
Whether an effect passes as a read is `effects`' to say; here only the server's PREPARE in a read-only transaction is
asked, of every plain read.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pymysql

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.structure import calls_in
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.splitting import split
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Effect, Flavour
from safeconsole.demo.servers import start_cluster
from tests.differential.corpus import statements_of, test_files
from tests.differential.effects import REFUSED_AS_WRITE, server_version
from tests.differential.native_functions import FORMS, UNKNOWN_FUNCTION

LONGEST = 20_000
SYNTAX = 1064
READING = re.compile(r"[\s(]*(?:select|with|values|show|explain|describe|desc)\b", re.IGNORECASE)
# Words that are prose as often as statements begin a statement in the suites and in files of statements alone.
READING_FILES = re.compile(
    r"[\s(]*(?:select|with|values|show|explain|describe|desc|table|help|analyze)\b", re.IGNORECASE
)
# Judged by words alone, with strings and comments taken out, so that no rule of ours is asked.
QUOTED = re.compile(
    r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`[^`]*`|/\*(?![!M]).*?\*/|(?:#|-- )[^\n]*", re.DOTALL
)
EFFECT = re.compile(
    r":=|\b(?:into|insert|update|delete|replace|handler|procedure|nextval|lastval|setval|next\s+value|previous\s+value"
    r"|for\s+(?:share|update)|lock\s+in|get_lock|release_lock|release_all_locks|sleep|benchmark|load_file|last_insert_id"
    r"|(?:asynchronous_connection_failover|group_replication|innodb_redo_log_archive|innodb_set)_\w+"
    r"|\w*(?:pos_wait|gtid_wait|executed_gtid_set|sql_thread_after_gtids|wsrep_sync\w*)"
    r"|analyze\s+(?:local|no_write_to_binlog)?\s*tables?)\b",
    re.IGNORECASE,
)
CALLED = re.compile(r"(\S+)\(\) (?:is not a built-in known to be pure|may be a stored function)")
LITERAL = re.compile(
    r'"""(?P<long>.*?)"""|`(?P<raw>[^`]*)`|"(?P<double>(?:[^"\\\n]|\\.)*)"|\'(?P<single>(?:[^\'\\\n]|\\.)*)\'',
    re.DOTALL,
)
JOINED = re.compile(r'"\s*(?:\+|\.)?\s*(?://[^\n]*)?\n\s*(?:\+|\.)?\s*"')
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}
OF_STATEMENTS = (".sql", ".test", ".txt", ".inc", ".in")
OF_CODE = (".java", ".go", ".py", ".php", ".rb", ".pm", ".t", ".yml", ".xml")


def suite_statements(flavour: str) -> Iterator[str]:
    """Yield what begins like a read in the server's own suite."""
    for path in test_files(flavour):
        for text, _ in statements_of(path):
            if READING_FILES.match(text):
                yield text


def repository_statements(repository: Path) -> Iterator[str]:
    """Yield what begins like a read in the files of one repository."""
    names = _git(repository, "ls-tree", "-r", "--name-only", "-z", "HEAD").decode(errors="replace").split("\0")
    wanted = [name for name in names if name.endswith((*OF_STATEMENTS, *OF_CODE))]
    for name, text in _blobs(repository, wanted):
        if name.endswith(OF_STATEMENTS):
            rules = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704)
            found: Iterable[str] = (piece.text for piece in split(text, rules))
            yield from (each for each in found if READING_FILES.match(each))
        else:
            yield from (each for each in literals_of(text) if READING.match(each))


def literals_of(text: str) -> Iterator[str]:
    """Yield the string literals of a program, neighbours joined, escapes read."""
    for match in LITERAL.finditer(JOINED.sub("", text)):
        raw = match["raw"]
        if raw is not None:
            yield raw.strip().rstrip(";")
            continue
        found = match["long"] or match["double"] or match["single"] or ""
        if len(found) > len("select"):
            yield ESCAPE.sub(lambda part: ESCAPED.get(part[1], part[1]), found).strip().rstrip(";")


def _git(repository: Path, *words: str) -> bytes:
    return subprocess.run(("git", "-C", str(repository), *words), check=True, capture_output=True).stdout


def _blobs(repository: Path, names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the files of the newest commit that are UTF-8, each with its name."""
    command = ("git", "-C", str(repository), "cat-file", "--batch")
    with tempfile.TemporaryFile() as wanted:
        wanted.write("".join(f"HEAD:{name}\n" for name in names).encode())
        wanted.seek(0)
        with subprocess.Popen(command, stdin=wanted, stdout=subprocess.PIPE) as git:
            for name in names:
                head = git.stdout.readline().split()
                if len(head) != 3:
                    continue
                content = git.stdout.read(int(head[2]) + 1)[:-1]
                if head[1] == b"blob" and b"\0" not in content:
                    try:
                        yield name, content.decode()
                    except UnicodeDecodeError:
                        continue


class Judge:
    """A real server, asked what its grammar says; nothing is run."""

    def __init__(self, flavour: str, connection: pymysql.Connection) -> None:
        self.flavour = flavour
        self.connection = connection
        self.native: dict[str, bool] = {}
        for text in (
            "CREATE DATABASE IF NOT EXISTS test",
            "USE test",
            "SET SESSION TRANSACTION READ ONLY",
            "START TRANSACTION READ ONLY",
        ):
            self.error_of(text)

    def error_of(self, text: str) -> int:
        """Return the server's error, or 0."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(text)
        except pymysql.MySQLError as error:
            return int(error.args[0])
        return 0

    def prepare(self, text: str) -> int:
        """Return the server's error to preparing a text, or 0."""
        return self.error_of(f"PREPARE judged FROM {self.connection.escape(text)}")

    def accepts(self, text: str) -> bool:
        """Whether the server's grammar takes a text as one statement."""
        if self.flavour == "mysql":
            return self.error_of(f"SELECT STATEMENT_DIGEST_TEXT({self.connection.escape(text)})") == 0
        return self.prepare(text) not in {SYNTAX, 1065}

    def is_native(self, name: str) -> bool:
        """Whether the server has a function of its own by that name."""
        if name not in self.native:
            errors = {self.prepare("SELECT " + form.format(name)) for form in FORMS}
            self.native[name] = not errors & UNKNOWN_FUNCTION and errors != {SYNTAX}
        return self.native[name]


def is_stored_call(statement: Statement, rules: LexicalRules, judge: Judge) -> bool:
    """Whether all that is unknown of a statement are calls that only stored functions can answer."""
    matches = [CALLED.fullmatch(reason) for reason in statement.reasons]
    if not all(matches):
        return False
    names = {
        (match[1], reason.endswith("stored function")) for match, reason in zip(matches, statement.reasons, strict=True)
    }
    tokens = split(statement.text, rules)[0].tokens
    found = [call for call in calls_in(tokens) if (call.name, call.foreign) in names]
    shift = split(statement.text, rules)[0].tokens[0].start
    return bool(found) and all(_is_stored(statement.text, call, tokens, shift, judge) for call in found)


def _is_stored(text: str, call, tokens, shift: int, judge: Judge) -> bool:
    name, opening = tokens[call.position], tokens[call.position + 1]
    if not call.foreign and judge.is_native(call.name):
        return False
    empty = tokens[call.position + 2].text == ")" if call.position + 2 < len(tokens) else False
    argument = "1+1" if empty else "1+1,"
    renamed = f"{text[: name.start - shift]}no_such_function({argument}{text[opening.end - shift :]}"
    return judge.accepts(renamed)


@dataclass(slots=True)
class Tally:
    """What one source gave."""

    statements: int = 0
    accepted: int = 0
    reads: int = 0
    stored: int = 0
    missed: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def judged(texts: Iterable[str], rules: LexicalRules, judge: Judge, seen: set[str]) -> Tally:
    """Return the figures of one source, each text counted once over all sources."""
    tally = Tally()
    for text in texts:
        if text in seen or len(text) > LONGEST:
            continue
        seen.add(text)
        tally.statements += 1
        found = analyse(text, rules, schema="test")
        if len(found) != 1 or not judge.accepts(text):
            continue
        tally.accepted += 1
        _count(found[0], rules, judge, tally)
    return tally


def _count(statement: Statement, rules: LexicalRules, judge: Judge, tally: Tally) -> None:
    lifts = any(hazard.id == "limit-lifting-hint" for hazard in statement.hazards)
    if statement.is_plain_read and not lifts:
        tally.reads += 1
        if judge.prepare(statement.text) in REFUSED_AS_WRITE:
            tally.missed.append(statement.text)
    elif lifts and statement.is_plain_read:
        tally.reads += 1
        tally.refused.append((statement.text, "a hint"))
    elif EFFECT.search(QUOTED.sub(" ", statement.text)):
        return
    elif Effect.UNKNOWN in statement.effects and is_stored_call(statement, rules, judge):
        tally.stored += 1
    else:
        tally.reads += 1
        tally.refused.append((statement.text, "; ".join(statement.reasons) or ", ".join(statement.effects)))


def sources(flavour: str, directory: Path | None) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield every source: its name, and what begins like a read in it."""
    yield f"the suite of {flavour}", suite_statements(flavour)
    for head in sorted(directory.glob("**/HEAD") if directory else ()):
        if (head.parent / "objects").is_dir():
            repository = head.parent
            named = repository.parent if repository.name in {".git", "repo"} else repository
            commit = _git(repository, "rev-parse", "--short=10", "HEAD").decode().strip()
            yield f"{named.name.replace('+', '/').removesuffix('.git')} {commit}", repository_statements(repository)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("flavours", nargs="*", default=["mysql", "mariadb"])
    parser.add_argument("--repositories", type=Path)
    parser.add_argument("--show", type=int, default=20)
    chosen = parser.parse_args()
    missed = 0
    for flavour in chosen.flavours:
        rules = LexicalRules(dialect=DIALECTS[Flavour(flavour)], version=server_version(flavour))
        with (
            tempfile.TemporaryDirectory() as directory,
            start_cluster(flavour, Path(directory) / "c", replicas=0) as cluster,
            cluster.dba_connect(cluster.primary) as connection,
        ):
            missed += report(flavour, rules, Judge(flavour, connection), chosen)
    return int(missed > 0)


def report(flavour: str, rules: LexicalRules, judge: Judge, chosen: argparse.Namespace) -> int:
    """Print one line a source and their sum, and return how many effects were missed."""
    total, seen, why = Tally(), set(), Counter()
    for name, texts in sources(flavour, chosen.repositories):
        tally = judged(texts, rules, judge, seen)
        _line(flavour, name, tally)
        for each in ("statements", "accepted", "reads", "stored"):
            setattr(total, each, getattr(total, each) + getattr(tally, each))
        total.missed += tally.missed
        total.refused += tally.refused
    _line(flavour, "all", total)
    for text in total.missed[: chosen.show]:
        sys.stdout.write(f"  MISSED {' '.join(text.split())[:200]}\n")
    for text, reason in total.refused:
        why[reason] += 1
        if why[reason] <= chosen.show:
            sys.stdout.write(f"  refused {' '.join(text.split())[:200]}\n      {reason[:160]}\n")
    for reason, count in why.most_common():
        sys.stdout.write(f"  {count} refused for: {reason[:160]}\n")
    return len(total.missed)


def _line(flavour: str, name: str, tally: Tally) -> None:
    rate = 100 * len(tally.refused) / max(tally.reads, 1)
    sys.stdout.write(
        f"| {flavour} | {name} | {tally.statements} | {tally.accepted} | {tally.reads} | {tally.stored} |"
        f" {len(tally.refused)} ({rate:.2f} %) | {len(tally.missed)} |\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
