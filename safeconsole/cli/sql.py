"""`safeconsole sql`: the console, or statements given on the command line, in a file or on standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safeconsole.cli.application import Application, Door, OpenSession, told_failure
from safeconsole.cli.root import CLUSTER
from safeconsole.errors import Action, ConfigurationError, DeniedError, RefusedError, Remedy, SafeConsoleError
from safeconsole.output.text import FORMATS, is_production, size_of, stream_style

# What is typed meanwhile waits in the terminal and is read by the real prompt, which is drawn over this one.


if TYPE_CHECKING:
    from safeconsole.config.settings import ClusterSettings
    from safeconsole.session.context import Status

BRACKETED_PASTE = "\x1b[?2004h"
"""Switched on at once, so that lines pasted this early do not look typed."""

PLAIN_PASTE = "\x1b[?2004l"


def draw_first_prompt(app: Application, cluster: str, schema: str) -> None:
    """Draw a cluster's prompt on a terminal where a person can type; errors are reported later."""
    settings = drawable(app, cluster)
    if settings is not None:
        sys.stdout.write(first_prompt_text(cluster, schema or settings.schema, settings.environment))
        sys.stdout.flush()


def drawable(app: Application, cluster: str) -> ClusterSettings | None:
    """Return the cluster's settings if its prompt can be drawn before the session is open, else None."""
    settings = app.settings().clusters.get(cluster)
    return settings if sys.stdin.isatty() and stream_style(sys.stdout, app.environ).decorated else None


def first_prompt_text(cluster: str, schema: str, environment: str) -> str:
    """Return the prompt before anything is known, for a terminal with colours."""
    style = "1;31" if is_production(environment) else "1"
    # Names come from the person's own configuration, but a terminal obeys whoever writes to it.
    name, where = (text if text.isprintable() else "?" for text in (cluster, f"/{schema}" if schema else ""))
    return f"{BRACKETED_PASTE}\x1b[{style}m{name}\x1b[0m{where}> "


def step_aside(app: Application) -> None:
    if sys.stdin.isatty() and stream_style(sys.stdout, app.environ).decorated:
        sys.stdout.write("\r")
        sys.stdout.flush()


if TYPE_CHECKING:
    # A prompt stands before these are imported; a one-shot imports them when it is known to be one.
    from safeconsole.console.state import Opened
    from safeconsole.output.confirming import NoTerminal, TerminalConfirmer
    from safeconsole.output.recording import TerminalRecorder
    from safeconsole.policy.decision import Assessment
    from safeconsole.session.context import Confirmer
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


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.option("-e", "--execute", "texts", metavar="SQL", multiple=True, help="Run this and exit; may be repeated.")
@click.option("-f", "--file", "file", metavar="FILE", help="Run the statements of a file, `-` for standard input.")
@click.option(
    "--to", metavar="replica|primary|NODE", default="", help="Where to send it; the console chooses if unset."
)
@click.option("-D", "--schema", default="", help="Schema to start in.")
@limit_options
@click.option("--format", "form", type=click.Choice(FORMATS), help="How rows are written [default: table].")
@null_option
@click.option("--reason", default="", metavar="TEXT", help="Why an elevation is needed.")
@click.option("--ticket", default="", metavar="ID", help="Incident or change that this is for.")
@click.option("--confirm", default="", metavar="CLUSTER", help="The cluster's name, typed to grant the elevation.")
@click.option("--despite", multiple=True, metavar="RULE", help="Answer a rule that asks once more; repeatable.")
@click.option("--approval", default="", metavar="ANSWER", help="A second person's answer to an earlier request.")
@click.pass_obj
def sql(
    app: Application,
    /,
    cluster: str,
    texts: tuple[str, ...],
    file: str | None,
    form: str | None,
    despite: tuple[str, ...],
    **given: object,
) -> int:
    """Query CLUSTER: opens the console, or runs what -e, -f or a pipe gives and leaves.

    Reads go to a proven replica under limits. What writes, or could hurt, exits 3 with the evidence; it runs with
    --reason, --ticket and --confirm CLUSTER. Rows go to standard output, everything else to standard error.
    """
    scripts = _scripts(texts, file)
    if scripts is None:
        draw_first_prompt(app, cluster, str(given["schema"]))
    from safeconsole.session.context import Justification

    reason, ticket = str(given["reason"]), str(given["ticket"])
    justification = Justification(reason=reason, ticket=ticket, despite=despite) if reason.strip() else None
    if justification is None and (ticket or despite):
        raise click.UsageError(f"--{'ticket' if ticket else 'despite'} needs --reason")
    limits = limits_of(given)
    null = None if given["null"] is None else str(given["null"])
    interactive = scripts is None
    if interactive and null is not None:
        raise click.UsageError("--null goes with -e, -f or a pipe; in the console: \\export --null TEXT FILE")
    with recorded_terminal(app, wanted=interactive) as recorder:
        door = Door(
            person=app.person,
            cluster=cluster,
            face="sql" if interactive else "one-shot",
            confirmer=confirmer_of(app, str(given["confirm"]), previews=interactive),
            to=str(given["to"]),
            schema=str(given["schema"]),
            limits=limits,
            justification=justification,
            approval=str(given["approval"]),
        )
        if scripts is None:
            return open_console(app, door, recorder)
        folder = Path(file).parent if file and file != "-" else None
        try:
            with app.open(door) as session:
                run_scripts(app, session, scripts, form=form or "table", null=null, folder=folder)
        except SafeConsoleError as error:
            return told_failure(
                error, app.environ, words=one_shot_words, more="safeconsole check CLUSTER SQL shows all evidence"
            )
    return 0


_FLAGS = {"run_seconds": "--timeout S", "fetched_rows": "--max-rows N", "fetched_bytes": "--max-bytes N"}


def one_shot_words(remedy: Remedy) -> str:
    """Return what a one-shot's person can do, as options of the command line."""
    match remedy.action:
        case Action.ELEVATE:
            return f"to run it anyway, add --reason TEXT --ticket ID --confirm {remedy.of or 'CLUSTER'}"
        case Action.CONFIRM:
            return f"to run it anyway, add --confirm {remedy.of or 'CLUSTER'}"
        case Action.GET_APPROVAL:
            return "then a person approves it"
        case Action.BRING_APPROVAL:
            return "add --approval ANSWER"
        case Action.GIVE_TICKET:
            return "with --ticket ID"
        case Action.NAME_CLUSTER:
            return f"or add --confirm {remedy.of}"
        case Action.NAME_NODE:
            return "name one with --to NODE"
        case Action.RELEASE_BRAKE:
            return f"to run it anyway, run it at a terminal, or add --despite {remedy.of}"
        case Action.RAISE_LIMIT:
            flag = _FLAGS.get(remedy.of)
            return f"{flag} raises it, to at most {remedy.most:,.15g}" if flag else ""


@contextmanager
def recorded_terminal(app: Application, *, wanted: bool) -> Iterator[TerminalRecorder | None]:
    """Give what records a console's terminal, where it is wanted and configured; MUST come before who keeps streams."""
    if not wanted or app.settings().audit.recordings.keep == "nothing":
        yield None
        return
    from safeconsole.output.recording import recorded_streams

    with recorded_streams() as recorder:
        yield recorder


def begin_recording(session: OpenSession, recorder: TerminalRecorder | None) -> None:
    if recorder is not None:
        recorder.begin(session.record_terminal(), session.gate.policy.literals)


def run_scripts(
    app: Application,
    session: OpenSession,
    scripts: tuple[str, ...],
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

    statements = session.gate.split(*_with_inclusions(scripts, session.rules(), folder=folder))
    if not statements:
        raise ConfigurationError("there is no statement to run", instead="give SQL with -e, -f or on standard input")
    if len(statements) > 1:
        _refuse_beforehand(session, statements)
    shape = ResultStyle(format=form, null=null, most_rows=session.gate.policy.ceilings.fetched_rows)
    for statement in statements:
        printer = ResultPrinter(screen_of(sys.stdout, sys.stderr, app.environ), shape, session.gate.last)
        try:
            printer.show(session.gate.execute(statement, as_text=True, progress=printer.progress))
        finally:
            printer.progress.end()


def _refuse_beforehand(session: OpenSession, statements: tuple[Statement, ...]) -> None:
    from safeconsole.sqltext.vocabulary import Verdict

    justification, alone = session.gate.context.justification, session.gate.needs_a_person
    _refuse_what_stays_apart(session, statements)
    for number, statement in enumerate(statements, start=1):
        considered = session.preview(statement)
        decision = considered.decision
        if justification is not None and session.gate.context.person.agent and not alone and not decision.observed:
            _refuse_braked(session, considered, justification.despite, which=f"statement {number} of {len(statements)}")
        if decision.observed or not (
            decision.verdict is Verdict.DENY
            or (decision.verdict is Verdict.ELEVATE and (justification is None or alone))
        ):
            continue
        error = DeniedError if decision.verdict is Verdict.DENY else RefusedError
        session.gate.note("script refused", f"statement {number} of {len(statements)}: {decision.message}")
        # A person approves one statement of an agent at a time: a script would stop in its middle.
        one_by_one = justification is not None and alone and error is RefusedError
        raise error(
            f"nothing of the script was run: statement {number} of {len(statements)}: {decision.message}",
            evidence=considered.evidence,
            instead="send it by itself: a person approves an agent's statements one by one"
            if one_by_one
            else decision.instead,
        )


def _refuse_braked(session: OpenSession, considered: Assessment, despite: tuple[str, ...], *, which: str) -> None:
    from safeconsole.policy.policy import judge
    from safeconsole.sqltext.vocabulary import Verdict

    # How many rows it changes is not known yet: what the text says is judged alone.
    decision = judge(session.gate.policy, {**considered.facts, "estimate.changed_rows": 0})
    asked = tuple(rule for rule in decision.brakes if rule not in despite)
    if decision.verdict is not Verdict.ELEVATE or not asked:
        return
    session.gate.note("script refused", f"{which}: {', '.join(asked)}")
    raise RefusedError(
        f"nothing of the script was run: {which} is asked about once more: {'; '.join(decision.asks_again)}",
        evidence=considered.evidence,
        remedies=tuple(Remedy(Action.RELEASE_BRAKE, of=rule) for rule in asked),
    )


def _refuse_what_stays_apart(session: OpenSession, statements: tuple[Statement, ...]) -> None:
    from safeconsole.session.state import VARIABLE_IS_ELSEWHERE, WITHOUT_VARIABLE, lost_variable
    from safeconsole.sqltext.statement import begins_writing

    begun = next((number for number, each in enumerate(statements, start=1) if begins_writing(each)), 0)
    lost = lost_variable(statements, session.rules(), opened=False)
    if lost is not None:
        number, what = lost[0], f"it needs {lost[1]}: {VARIABLE_IS_ELSEWHERE}"
        instead = WITHOUT_VARIABLE
    elif begun and session.gate.context.justification is not None:
        number, what = begun, "it opens a transaction, and each statement here is elevated and committed by itself"
        instead = "leave BEGIN and COMMIT out; or paste the script into the console after \\elevate"
    else:
        return
    session.gate.note("script refused", f"statement {number} of {len(statements)}: {what}")
    raise DeniedError(
        f"nothing of the script was run: statement {number} of {len(statements)}: {what}", instead=instead
    )


def _scripts(texts: tuple[str, ...], file: str | None) -> tuple[str, ...] | None:
    if texts and file:
        raise click.UsageError("-e and -f cannot be combined")
    if texts:
        return texts
    if file is None and sys.stdin is not None and sys.stdin.isatty():
        return None
    return (read_script(file),)


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


def confirmer_of(app: Application, typed: str, *, previews: bool = False) -> Confirmer:
    """Return what answers for the person: the name given on the command line, or a question on the terminal."""
    from safeconsole.output.confirming import GivenConfirmer, TerminalConfirmer

    asking = ask_on_terminal(app)
    if isinstance(asking, TerminalConfirmer):
        asking.previews = previews
    if not typed:
        return asking
    # Who pipes something in, or messages out, still sits at the terminal that the other streams are.
    seated = any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    return GivenConfirmer(typed, _ask_behind(app, asking) if seated else asking, seated=seated)


def _ask_behind(app: Application, asking: TerminalConfirmer | NoTerminal) -> TerminalConfirmer | NoTerminal:
    from safeconsole.output.confirming import NoTerminal, terminal_confirmer

    if not isinstance(asking, NoTerminal):
        return asking
    try:
        # Open for as long as the process is: it is asked whenever something has to be.
        questions, answers = (Path("/dev/tty").open(mode, encoding="utf-8") for mode in ("w", "r"))  # noqa: SIM115
    except OSError:
        return asking
    return terminal_confirmer(questions, answers, stream_style(sys.stderr, app.environ))


def ask_on_terminal(app: Application) -> TerminalConfirmer | NoTerminal:
    """Return what asks the person on this terminal; without one every answer is no."""
    from safeconsole.output.confirming import terminal_confirmer

    return terminal_confirmer(sys.stderr, sys.stdin, stream_style(sys.stderr, app.environ))


def _standing(app: Application, door: Door) -> Status:
    """Return what a prompt shows before the session is open. Raises ConfigurationError: no such cluster."""
    from safeconsole.policy.limits import Limits
    from safeconsole.session.context import Status

    cluster = app.settings().cluster(door.cluster)
    return Status(
        cluster=door.cluster,
        environment=cluster.environment,
        node="",
        role="",
        schema=door.schema or cluster.schema,
        elevated_seconds=0.0,
        limits=Limits(),
        to=door.to,
    )


def open_console(app: Application, door: Door, recorder: TerminalRecorder | None = None) -> int:
    """Open the interactive console, and its session in the background; returns the exit code."""
    from safeconsole.console.console import Terminal, talk
    from safeconsole.console.state import Opening

    with ExitStack() as sessions:
        opening = Opening(lambda: _opened(app, sessions.enter_context(app.open(door)), recorder))
        standing = _standing(app, door)
        step_aside(app)
        try:
            return talk(
                opening,
                standing=standing,
                history_directory=app.history_directory(door.person, door.cluster),
                terminal=Terminal(environ=app.environ, recorder=recorder),
            )
        finally:
            # MUST come before the sessions are closed, for what is still being opened is one of them.
            opening.settle()


def _opened(app: Application, session: OpenSession, recorder: TerminalRecorder | None) -> Opened:
    from safeconsole.console.state import Opened, Services

    def capacity(argument: str) -> None:
        # Imported when it is asked for: its jobs would keep every prompt waiting.
        from safeconsole.cli.capacity import capacity_command

        capacity_command(app, session)(argument)

    services = Services(
        rules=session.rules,
        preview=lambda statement: session.preview(statement).decision,
        capacity=capacity,
    )
    begin_recording(session, recorder)
    return Opened(gate=session.gate, services=services)
