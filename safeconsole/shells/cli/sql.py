"""`safeconsole sql`: the console, or statements given on the command line, in a file or on standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safeconsole.core.errors import ConfigurationError, DeniedError, RefusedError
from safeconsole.shells.cli.application import Application, Door, Session
from safeconsole.shells.cli.completion import CLUSTER
from safeconsole.shells.cli.first_prompt import draw_first_prompt, step_aside
from safeconsole.shells.terminal.looks import FORMATS, look_of

if TYPE_CHECKING:
    # A prompt stands before these are imported; a one-shot imports them when it is known to be one.
    from safeconsole.core.statement import Statement
    from safeconsole.interfaces import Confirmer
    from safeconsole.shells.sql.opening import Opened
    from safeconsole.shells.terminal.confirming import NoTerminal, TerminalConfirmer
    from safeconsole.shells.terminal.taping import Tape

LARGEST_SCRIPT_BYTES = 64 * 1024 * 1024


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.option("-e", "--execute", "texts", metavar="SQL", multiple=True, help="Run this and leave; may be repeated.")
@click.option("-f", "--file", "file", metavar="FILE", help="Run the statements of a file, `-` for standard input.")
@click.option(
    "--to", metavar="replica|primary|NODE", default="", help="Where to send it; the console chooses if unset."
)
@click.option("-D", "--schema", default="", help="Schema to start in.")
@click.option("--timeout", type=float, metavar="S", help="Seconds a statement may run, up to the policy's ceiling.")
@click.option("--max-rows", type=int, metavar="N", help="Rows that may be fetched, up to the policy's ceiling.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="How rows are written [default: table].")
@click.option("--reason", default="", metavar="TEXT", help="Why an elevation is needed.")
@click.option("--ticket", default="", metavar="ID", help="Incident or change that it belongs to.")
@click.option("--confirm", default="", metavar="CLUSTER", help="The cluster's name, typed to grant the elevation.")
@click.option("--approval", default="", metavar="ANSWER", help="A second person's answer to what was asked before.")
@click.pass_obj
def sql(
    app: Application, /, cluster: str, texts: tuple[str, ...], file: str | None, form: str | None, **given: object
) -> int:
    """
    Ask CLUSTER: opens the console, or runs what -e, -f or a pipe gives and leaves.

    Reads go to a proven replica under limits. What writes, or could hurt, exits 3 with the evidence; it runs
    with --reason, --ticket and --confirm CLUSTER. Rows go to standard output, everything else to standard error.
    """
    scripts = _scripts(texts, file)
    if scripts is None:
        draw_first_prompt(app, cluster, str(given["schema"]))
    from safeconsole.core.visit import Plea

    plea = Plea(reason=str(given["reason"]), ticket=str(given["ticket"])) if str(given["reason"]).strip() else None
    if plea is None and given["ticket"]:
        raise click.UsageError("--ticket goes with --reason")
    limits = {
        name: float(str(value))
        for name, value in (("run_seconds", given["timeout"]), ("fetched_rows", given["max_rows"]))
        if value is not None
    }
    interactive = scripts is None
    with taped_terminal(app, wanted=interactive) as tape:
        door = Door(
            cluster=cluster,
            face="sql" if interactive else "one-shot",
            confirmer=confirmer_of(app, str(given["confirm"])),
            to=str(given["to"]),
            schema=str(given["schema"]),
            limits=limits,
            plea=plea,
            approval=str(given["approval"]),
        )
        if scripts is None:
            return open_console(app, door, tape)
        _run_given(app, door, scripts, form=form or "table")
    return 0


def _run_given(app: Application, door: Door, scripts: tuple[str, ...], *, form: str) -> None:
    with app.open(door) as session:
        try:
            run_scripts(app, session, scripts, form=form)
        except RefusedError as error:
            if error.exit_code == RefusedError.exit_code:
                error.instead = _way_out(error.instead, session, elevated=door.plea is not None)
            raise


@contextmanager
def taped_terminal(app: Application, *, wanted: bool) -> Iterator[Tape | None]:
    """Give what records a console's terminal, where it is wanted and configured; MUST come before who keeps streams."""
    if not wanted or app.settings().audit.recordings.keep == "nothing":
        yield None
        return
    from safeconsole.shells.terminal.taping import taped

    with taped() as tape:
        yield tape


def begin_recording(session: Session, tape: Tape | None) -> None:
    """Record the terminal from now on."""
    if tape is not None:
        tape.begin(session.record_terminal(), session.gate.policy.literals)


def _way_out(instead: str, session: Session, *, elevated: bool) -> str:
    """Return the next step of a one-shot that was refused."""
    from safeconsole.core.vocabulary import Verdict

    last, cluster = session.gate.last(), session.gate.visit.cluster
    if elevated or last is None:
        return instead
    demand = "" if last.decision.verdict is Verdict.CONFIRM else "--reason TEXT --ticket ID "
    then = "; then a person approves it" if demand and session.gate.needs_a_person else ""
    go_on = f"if it must run as it is, add {demand}--confirm {cluster}{then}"
    return f"{instead}; {go_on}" if instead else go_on


def run_scripts(app: Application, session: Session, scripts: tuple[str, ...], *, form: str) -> None:
    """
    Run every statement in order and stop at the first that does not end well.

    Nothing runs when one of them could not: the strictest statement decides, wherever it stands.

    Raises:
        SafeConsoleError: what went wrong.
    """
    from safeconsole.shells.terminal.presenting import Shape, StreamPresenter, screen_of

    statements = session.gate.split(*scripts)
    if not statements:
        raise ConfigurationError("there is no statement to run", instead="give SQL with -e, -f or on standard input")
    if len(statements) > 1:
        _refuse_beforehand(session, statements)
    shape = Shape(format=form, most_rows=session.gate.policy.ceilings.fetched_rows)
    for statement in statements:
        session.gate.run(
            statement, StreamPresenter(screen_of(sys.stdout, sys.stderr, app.environ), shape, session.gate.last)
        )


def _refuse_beforehand(session: Session, statements: tuple[Statement, ...]) -> None:
    """Refuse a whole script when one of its statements would be refused, before anything of it ran."""
    from safeconsole.core.vocabulary import Verdict

    plea, alone = session.gate.visit.plea, session.gate.needs_a_person
    for number, statement in enumerate(statements, start=1):
        considered = session.preview(statement)
        decision = considered.decision
        if decision.observed or not (
            decision.verdict is Verdict.DENY or (decision.verdict is Verdict.ELEVATE and (plea is None or alone))
        ):
            continue
        error = DeniedError if decision.verdict is Verdict.DENY else RefusedError
        session.gate.note("script refused", f"statement {number} of {len(statements)}: {decision.message}")
        # A person approves one statement of an agent at a time: a script would stop in its middle.
        one_by_one = plea is not None and alone and error is RefusedError
        raise error(
            f"nothing of the script was run: statement {number} of {len(statements)}: {decision.message}",
            evidence=considered.evidence,
            instead="send it by itself: a person approves an agent's statements one by one"
            if one_by_one
            else decision.instead,
        )


def _scripts(texts: tuple[str, ...], file: str | None) -> tuple[str, ...] | None:
    """Return what to run, or None for the console."""
    if texts and file:
        raise click.UsageError("-e and -f do not go together")
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


def confirmer_of(app: Application, typed: str) -> Confirmer:
    """Return what answers for the person: with the name given on the command line, or by asking on the terminal."""
    from safeconsole.shells.terminal.confirming import GivenConfirmer

    asking = ask_on_terminal(app)
    if not typed:
        return asking
    # Who pipes something in, or messages out, still sits at the terminal that the other streams are.
    seated = any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    return GivenConfirmer(typed, _ask_behind(app, asking) if seated else asking, seated=seated)


def _ask_behind(app: Application, asking: TerminalConfirmer | NoTerminal) -> TerminalConfirmer | NoTerminal:
    """Return what asks on the terminal that the process belongs to, where its streams are something else."""
    from safeconsole.shells.terminal.confirming import NoTerminal, terminal_confirmer

    if not isinstance(asking, NoTerminal):
        return asking
    try:
        # Open for as long as the process is: it is asked whenever something has to be.
        questions, answers = (Path("/dev/tty").open(mode, encoding="utf-8") for mode in ("w", "r"))  # noqa: SIM115
    except OSError:
        return asking
    return terminal_confirmer(questions, answers, look_of(sys.stderr, app.environ))


def ask_on_terminal(app: Application) -> TerminalConfirmer | NoTerminal:
    """Return what asks the person on this process's terminal; without one every answer is no."""
    from safeconsole.shells.terminal.confirming import terminal_confirmer

    return terminal_confirmer(sys.stderr, sys.stdin, look_of(sys.stderr, app.environ))


def open_console(app: Application, door: Door, tape: Tape | None = None) -> int:
    """Open the interactive console, and its session behind the prompt; returns the exit code."""
    from safeconsole.shells.sql.console import Terminal, talk
    from safeconsole.shells.sql.opening import Opening

    with ExitStack() as sessions:
        opening = Opening(lambda: _opened(app, sessions.enter_context(app.open(door)), tape))
        standing = app.standing(door)
        step_aside(app)
        try:
            return talk(
                opening,
                standing=standing,
                history_directory=app.history_directory(),
                terminal=Terminal(environ=app.environ, tape=tape),
            )
        finally:
            # MUST come before the sessions are closed, for what is still being opened is one of them.
            opening.settle()


def _opened(app: Application, session: Session, tape: Tape | None) -> Opened:
    from safeconsole.shells.sql.opening import Opened
    from safeconsole.shells.sql.state import Services

    def capacity(argument: str) -> None:
        # Imported when it is asked for: its jobs would keep every prompt waiting.
        from safeconsole.shells.cli.capacity import capacity_command

        capacity_command(app, session)(argument)

    services = Services(
        rules=session.rules,
        preview=lambda statement: session.preview(statement).decision,
        capacity=capacity,
    )
    begin_recording(session, tape)
    return Opened(gate=session.gate, services=services)
