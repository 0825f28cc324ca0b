"""Scripts on the command line: options that limit their statements, the files they include, and running them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from msgspec.structs import replace

from safeconsole.cli.application import Application, OpenSession
from safeconsole.errors import Action, ConfigurationError, DeniedError, RefusedError, Remedy
from safeconsole.output.text import ROW_FORMATS, size_of

if TYPE_CHECKING:
    # A prompt stands before these are imported.
    from safeconsole.policy.decision import Assessment
    from safeconsole.queries import NamedQuery
    from safeconsole.sqltext.lexer import LexicalRules
    from safeconsole.sqltext.statement import Statement

LARGEST_SCRIPT_BYTES = 64 * 1024 * 1024


class ByteSize(click.ParamType[int]):
    """A number of bytes, with or without a unit."""

    name = "BYTES"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return size_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


_LIMIT_FLAGS = {"run_seconds": "timeout", "fetched_rows": "max_rows", "fetched_bytes": "max_bytes"}


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    upto = "up to the policy's ceiling."
    for option in (
        click.option("--max-bytes", type=ByteSize(), metavar="N", help=f"Bytes it may fetch, as 500M or 2G, {upto}"),
        click.option("--max-rows", type=int, metavar="N", help=f"Rows a statement may fetch, {upto}"),
        click.option("--timeout", type=float, metavar="S", help=f"Seconds a statement may run, {upto}"),
    ):
        command = option(command)
    return command


def _null_text(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    from safeconsole.output.formats import is_csv_null

    if text is not None and not is_csv_null(text):
        raise click.BadParameter("the text for NULL may not contain a comma, a quote or a line end")
    return text


null_option = click.option(
    "--null",
    metavar="TEXT",
    callback=_null_text,
    help='Text for NULL in CSV [default: nothing; an empty text is ""].',
)


def limits_of(given: Mapping[str, object]) -> dict[str, float]:
    """Return the ceilings that `limit_options` were given, by name."""
    return {name: float(str(given[flag])) for name, flag in _LIMIT_FLAGS.items() if given[flag] is not None}


class QueryCall(NamedTuple):
    """A named query, and the values that it is called with."""

    query: NamedQuery
    values: tuple[str, ...]


def query_call(directory: str, name: str, values: tuple[str, ...]) -> QueryCall:
    """Return a call of a named query. Raises ConfigurationError: there is none of that name."""
    from safeconsole.queries import named_query

    return QueryCall(named_query(directory, name), values)


def _text_of(opened: OpenSession, script: str | QueryCall) -> str:
    if isinstance(script, str):
        return script
    from safeconsole.queries import filled

    text = filled(script.query, script.values, opened.rules())
    opened.session.note("named query", f"{script.query.name}, sha256 {script.query.digest[:16]}")
    return text


def run_scripts(
    app: Application,
    opened: OpenSession,
    scripts: tuple[str | QueryCall, ...],
    *,
    form: str,
    null: str | None = None,
    folder: Path | None = None,
) -> None:
    """Run every statement in order and stop at the first that fails.

    Nothing runs when one of them could not: the strictest statement decides, wherever it stands. Raises
    SafeConsoleError.
    """
    from safeconsole.output.presenting import ResultPrinter, ResultStyle, screen_of

    texts = tuple(_text_of(opened, script) for script in scripts)
    statements = opened.session.split(*_with_inclusions(texts, opened.rules(), folder=folder))
    if not statements:
        raise ConfigurationError("there is no statement to run", instead="give SQL with -e, -f or on standard input")
    if len(statements) > 1:
        _refuse_beforehand(opened, statements)
    most = opened.session.policy.ceilings.fetched_rows
    shape = ResultStyle(format=form, null=null, most_rows=most, error_follows=True)
    if form in ROW_FORMATS:
        from safeconsole.output.row_statements import require_one_table, target_of

        for statement in statements:
            require_one_table(statement, form)
    for statement in statements:
        if form in ROW_FORMATS:
            shape = replace(shape, target=target_of(statement, form, opened.session, opened.rules()))
        printer = ResultPrinter(screen_of(sys.stdout, sys.stderr, app.environ), shape, opened.session.last)
        try:
            printer.show(opened.session.execute(statement, as_text=True, progress=printer.progress))
        finally:
            printer.progress.end()


def _refuse_beforehand(opened: OpenSession, statements: tuple[Statement, ...]) -> None:
    from safeconsole.sqltext.vocabulary import Verdict

    justification, alone = opened.session.context.justification, opened.session.needs_a_person
    _refuse_what_stays_apart(opened, statements)
    for number, statement in enumerate(statements, start=1):
        considered = opened.preview(statement)
        decision = considered.decision
        if justification is not None and opened.session.context.person.agent and not alone and not decision.observed:
            _refuse_braked(opened, considered, justification.despite, which=f"statement {number} of {len(statements)}")
        if decision.observed or not (
            decision.verdict is Verdict.DENY
            or (decision.verdict is Verdict.ELEVATE and (justification is None or alone))
        ):
            continue
        error = DeniedError if decision.verdict is Verdict.DENY else RefusedError
        opened.session.note("script refused", f"statement {number} of {len(statements)}: {decision.message}")
        # A person approves one statement of an agent at a time: a script would stop in its middle.
        one_by_one = justification is not None and alone and error is RefusedError
        raise error(
            f"nothing of the script was run: statement {number} of {len(statements)}: {decision.message}",
            evidence=considered.evidence,
            instead="send it by itself: a person approves an agent's statements one by one"
            if one_by_one
            else decision.instead,
        )


def _refuse_braked(opened: OpenSession, considered: Assessment, despite: tuple[str, ...], *, which: str) -> None:
    from safeconsole.policy.policy import judge
    from safeconsole.sqltext.vocabulary import Verdict

    # How many rows it changes is not known yet: what the text says is judged alone.
    decision = judge(opened.session.policy, {**considered.facts, "estimate.changed_rows": 0})
    asked = tuple(rule for rule in decision.brakes if rule not in despite)
    if decision.verdict is not Verdict.ELEVATE or not asked:
        return
    opened.session.note("script refused", f"{which}: {', '.join(asked)}")
    raise RefusedError(
        f"nothing of the script was run: {which} is asked about once more: {'; '.join(decision.asks_again)}",
        evidence=considered.evidence,
        remedies=tuple(Remedy(Action.RELEASE_BRAKE, of=rule) for rule in asked),
    )


def _refuse_what_stays_apart(opened: OpenSession, statements: tuple[Statement, ...]) -> None:
    from safeconsole.session.state import VARIABLE_IS_ELSEWHERE, WITHOUT_VARIABLE, lost_variable
    from safeconsole.sqltext.statement import begins_writing

    begun = next((number for number, each in enumerate(statements, start=1) if begins_writing(each)), 0)
    lost = lost_variable(statements, opened.rules(), opened=False)
    if lost is not None:
        number, what = lost[0], f"it needs {lost[1]}: {VARIABLE_IS_ELSEWHERE}"
        instead = WITHOUT_VARIABLE
    elif begun and opened.session.context.justification is not None:
        number, what = begun, "it opens a transaction, and each statement here is elevated and committed by itself"
        instead = "leave BEGIN and COMMIT out; or paste the script into the console after \\elevate"
    else:
        return
    opened.session.note("script refused", f"statement {number} of {len(statements)}: {what}")
    raise DeniedError(
        f"nothing of the script was run: statement {number} of {len(statements)}: {what}", instead=instead
    )


def read_script(file: str | None) -> str:
    """Return the text of a file, `-` or None for standard input. Raises ConfigurationError."""
    try:
        if file is None or file == "-":
            data = sys.stdin.buffer.read(LARGEST_SCRIPT_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(LARGEST_SCRIPT_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    if len(data) > LARGEST_SCRIPT_BYTES:
        raise ConfigurationError(f"{file or 'standard input'} is larger than {LARGEST_SCRIPT_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"{file or 'standard input'} is not UTF-8 text: byte {error.start}"
        raise ConfigurationError(where, instead="convert it, for example with iconv") from None


DEEPEST_INCLUSION = 16
"""Files that may include one another, one inside the other."""


def _with_inclusions(scripts: tuple[str, ...], rules: LexicalRules, *, folder: Path | None) -> tuple[str, ...]:
    from safeconsole.sqltext.splitting import may_include

    if not any(map(may_include, scripts)):
        return scripts
    inclusion = _Inclusions(rules)
    for script in scripts:
        inclusion.take(script, folder)
    return tuple(inclusion.texts)


class _Inclusions:
    """The texts of a script, files included, in the order in which they are read."""

    def __init__(self, rules: LexicalRules) -> None:
        self.texts: list[str] = []
        self._rules = rules
        self._open: list[Path] = []
        self._bytes = 0

    def take(self, script: str, folder: Path | None, delimiter: str = ";") -> str:
        """Add a text and what it includes; returns the delimiter in force at its end. Raises ConfigurationError."""
        from safeconsole.sqltext.splitting import next_inclusion

        position = 0
        while True:
            found, after = next_inclusion(script, self._rules, position, delimiter)
            # Lines before the piece are left empty, so that its own keep their numbers.
            before = "\n" * script.count("\n", 0, position)
            self.texts.append(_delimited(before + script[position : found.start if found else None], delimiter))
            if found is None:
                return after
            position, delimiter = found.end, self._read(found.name, folder, after)

    def _read(self, name: str, folder: Path | None, delimiter: str) -> str:
        path = _included_file(name, folder)
        if path in self._open or len(self._open) >= DEEPEST_INCLUSION:
            chain = " includes ".join(map(str, (*self._open, path)))
            raise ConfigurationError(f"the script never ends: {chain}", instead="take out one of the source lines")
        text = read_script(str(path))
        self._bytes += len(text)
        if self._bytes > LARGEST_SCRIPT_BYTES:
            raise ConfigurationError(f"the script and its files are larger than {LARGEST_SCRIPT_BYTES} bytes")
        self._open.append(path)
        delimiter = self.take(text, path.parent, delimiter)
        self._open.pop()
        return delimiter


def _delimited(text: str, delimiter: str) -> str:
    return text if delimiter == ";" else f"DELIMITER {delimiter}\n{text}"


def _included_file(name: str, folder: Path | None) -> Path:
    if not name:
        raise ConfigurationError("a source line names no file", instead="source FILE")
    places = [Path(name).expanduser(), *([folder / name] if folder else [])]
    return next((place for place in places if place.exists()), places[0]).resolve()
