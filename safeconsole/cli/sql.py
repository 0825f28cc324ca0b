"""`safeconsole sql`: the console, or statements given on the command line, in a file or on standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safeconsole.cli.application import Application, Door, OpenSession, told_failure
from safeconsole.cli.root import CLUSTER
from safeconsole.cli.scripts import (
    QueryCall,
    limit_options,
    limits_of,
    null_option,
    query_call,
    read_script,
    run_scripts,
)
from safeconsole.errors import Action, Remedy, SafeConsoleError
from safeconsole.output.text import FORMATS, ROW_FORMATS, is_production, stream_style

if TYPE_CHECKING:
    # A prompt stands before these are imported; a one-shot imports them when it is known to be one.
    from safeconsole.config.settings import ClusterSettings
    from safeconsole.console.state import Opened
    from safeconsole.output.confirming import NoTerminal, TerminalConfirmer
    from safeconsole.output.recording import TerminalRecorder
    from safeconsole.session.context import Confirmer, Justification, Status

# What is typed meanwhile waits in the terminal and is read by the real prompt, which is drawn over this one.
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


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.argument("values", nargs=-1)
@click.option("-e", "--execute", "texts", metavar="SQL", multiple=True, help="Run this and exit; may be repeated.")
@click.option("-f", "--file", "file", metavar="FILE", help="Run the statements of a file, `-` for standard input.")
@click.option("--run", "query", metavar="NAME", help="Run a named query with VALUES, in order or NAME=VALUE.")
@click.option(
    "--to", metavar="replica|primary|NODE", default="", help="Where to send it; the console chooses if unset."
)
@click.option("-D", "--schema", default="", help="Schema to start in.")
@limit_options
@click.option(
    "--format", "form", type=click.Choice((*FORMATS, *ROW_FORMATS)), help="How rows are written [default: table]."
)
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
    """Query CLUSTER: opens the console, or runs what -e, -f, --run or a pipe gives and leaves.

    Reads go to a proven replica under limits. What writes, or could hurt, exits 3 with the evidence; it runs with
    --reason, --ticket and --confirm CLUSTER. Rows go to standard output, everything else to standard error.
    """
    named = _named(app, given, others=bool(texts or file))
    scripts = (named,) if named is not None else _scripts(texts, file)
    if scripts is None:
        draw_first_prompt(app, cluster, str(given["schema"]))
    justification = _justification(str(given["reason"]), str(given["ticket"]), despite)
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
            asks_at_once=not interactive,
        )
        if scripts is None:
            return open_console(app, door, recorder)
        folder = Path(file).parent if file and file != "-" else None
        try:
            with app.open(door) as opened:
                run_scripts(app, opened, scripts, form=form or "table", null=null, folder=folder)
        except SafeConsoleError as error:
            return told_failure(
                error, app.environ, words=one_shot_words, more="safeconsole check CLUSTER SQL shows all evidence"
            )
    return 0


_FLAGS = {"run_seconds": "--timeout S", "fetched_rows": "--max-rows N", "fetched_bytes": "--max-bytes N"}

_WORDS = {
    Action.GET_APPROVAL: "then a person approves it",
    Action.BRING_APPROVAL: "add --approval ANSWER",
    Action.GIVE_TICKET: "with --ticket ID",
    Action.NAME_NODE: "name one with --to NODE",
    Action.LOOK_AT_LOCKS: "",
}


def one_shot_words(remedy: Remedy) -> str:
    """Return a remedy as options of the command line."""
    match remedy.action:
        case Action.ELEVATE:
            return f"to run it anyway, add --reason TEXT --ticket ID --confirm {remedy.of or 'CLUSTER'}"
        case Action.CONFIRM:
            return f"to run it anyway, add --confirm {remedy.of or 'CLUSTER'}"
        case Action.NAME_CLUSTER:
            return f"or add --confirm {remedy.of}"
        case Action.RELEASE_BRAKE:
            return f"to run it anyway, run it at a terminal, or add --despite {remedy.of}"
        case Action.RAISE_LIMIT:
            flag = _FLAGS.get(remedy.of)
            return f"{flag} raises it, to at most {remedy.most:,.15g}" if flag else ""
        case _:
            return _WORDS[remedy.action]


@contextmanager
def recorded_terminal(app: Application, *, wanted: bool) -> Iterator[TerminalRecorder | None]:
    """Give a terminal recorder, if wanted and configured; MUST come before anything that keeps the streams."""
    if not wanted or app.settings().audit.recordings.keep == "nothing":
        yield None
        return
    from safeconsole.output.recording import recorded_streams

    with recorded_streams() as recorder:
        yield recorder


def begin_recording(opened: OpenSession, recorder: TerminalRecorder | None) -> None:
    if recorder is not None:
        recorder.begin(opened.record_terminal(), opened.session.policy.literals)


def _justification(reason: str, ticket: str, despite: tuple[str, ...]) -> Justification | None:
    if not reason.strip():
        if ticket or despite:
            raise click.UsageError(f"--{'ticket' if ticket else 'despite'} needs --reason")
        return None
    from safeconsole.session.context import Justification

    return Justification(reason=reason, ticket=ticket, despite=despite)


def _named(app: Application, given: Mapping[str, Any], *, others: bool) -> QueryCall | None:
    name, values = given["query"], given["values"]
    if name is not None:
        if others:
            raise click.UsageError("--run cannot be combined with -e and -f")
        return query_call(app.settings().queries.directory, name, values)
    if values:
        raise click.UsageError(f"{values[0]}: values go with --run NAME; SQL goes with -e")
    return None


def _scripts(texts: tuple[str, ...], file: str | None) -> tuple[str, ...] | None:
    if texts and file:
        raise click.UsageError("-e and -f cannot be combined")
    if texts:
        return texts
    if file is None and sys.stdin is not None and sys.stdin.isatty():
        return None
    return (read_script(file),)


def confirmer_of(app: Application, typed: str, *, previews: bool = False) -> Confirmer:
    """Return the confirmer: from the name on the command line, or asking on the terminal."""
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
    """Return a confirmer that asks on this terminal; without one every answer is no."""
    from safeconsole.output.confirming import terminal_confirmer

    return terminal_confirmer(sys.stderr, sys.stdin, stream_style(sys.stderr, app.environ))


def _standing(app: Application, door: Door) -> Status:
    """Return the prompt's status before the session is open. Raises ConfigurationError: no such cluster."""
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


def _opened(app: Application, opened: OpenSession, recorder: TerminalRecorder | None) -> Opened:
    from safeconsole.console.state import Opened, Services

    def capacity(argument: str) -> None:
        # Imported when it is asked for: its jobs would keep every prompt waiting.
        from safeconsole.cli.capacity import capacity_command

        capacity_command(app, opened)(argument)

    services = Services(
        rules=opened.rules,
        preview=lambda statement: opened.preview(statement).decision,
        capacity=capacity,
        queries=app.settings().queries.directory,
    )
    begin_recording(opened, recorder)
    return Opened(session=opened.session, services=services)
