"""`safeconsole python`: a Python console on a cluster, or code given on the command line or in a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from safeconsole.cli.application import Application, Door, OpenSession, exit_code_of
from safeconsole.cli.root import CLUSTER
from safeconsole.cli.scripts import limit_options, limits_of, read_script
from safeconsole.cli.sql import (
    BRACKETED_PASTE,
    PLAIN_PASTE,
    begin_recording,
    confirmer_of,
    drawable,
    recorded_terminal,
)

if TYPE_CHECKING:
    # A prompt stands before these are imported.
    from safeconsole.output.recording import TerminalRecorder
    from safeconsole.python.session import PythonSession

PYTHON_PROMPT = ">>> "
"""ptpython's own."""

_WELCOME = """\
{cluster} ({environment}). Reads go to a proven replica under limits; what writes needs: with elevate(reason="…"): …
db.sql("SELECT …")   db.tables.NAME   db.session()   db.engine   why()   topology()   help(db)
"""


def welcome_text(cluster: str, environment: str) -> str:
    """Return the console's first lines.

    Args:
        cluster: its name in the person's configuration.
        environment: as configured, or "".
    """
    # A terminal obeys whoever writes to it.
    name, where = (text if text.isprintable() else "?" for text in (cluster, environment or "no environment"))
    return _WELCOME.format(cluster=name, environment=where)


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.argument("file", required=False)
@click.option("-c", "code", metavar="CODE", help="Run this and exit.")
@click.option("--app", "target", metavar="MODULE:ATTR", help="Load an application's models; see docs/python.md.")
@click.option("--to", metavar="replica|primary|NODE", default="", help="Where reads go; the console chooses if unset.")
@click.option("-D", "--schema", default="", help="Schema to start in.")
@limit_options
@click.option(
    "--confirm", default="", metavar="CLUSTER", help="The cluster's name, typed to grant what elevate() asks."
)
@click.pass_obj
def python(app: Application, /, cluster: str, file: str | None, code: str | None, **given: object) -> int:
    """Work on CLUSTER from Python: opens a console, or runs -c CODE, FILE or a pipe (-) and leaves.

    `db.sql()`, SQLAlchemy and plain cursors are checked like `safeconsole sql`: reads go to a proven replica under
    limits, what writes needs `with elevate(reason=…):`. In the console, help(db) says more.
    """
    if code is not None and file is not None:
        raise click.UsageError("-c and FILE cannot be combined")
    if code is None and file is None and not sys.stdin.isatty():
        file = "-"
    source = code if code is not None else read_script(file) if file is not None else None
    # What is typed from now on waits in the terminal; the session is opened behind it.
    welcomed = source is None and _draw_first(app, cluster)
    confirm = str(given["confirm"])
    limits = limits_of(given)
    with _first_prompt_cleared(drawn=welcomed), recorded_terminal(app, wanted=source is None) as recorder:
        door = Door(
            person=app.person,
            cluster=cluster,
            face="python",
            confirmer=confirmer_of(app, confirm),
            to=str(given["to"]),
            schema=str(given["schema"]),
            limits=limits,
        )
        with app.open(door) as opened:
            begin_recording(opened, recorder)
            target = str(given["target"] or "")
            name = "<-c>" if code is not None else file or ""
            python = _python_session(app, opened, recorder)
            return _run(app, opened, python, target, source=source, name=name, welcomed=welcomed)


def _draw_first(app: Application, cluster: str) -> bool:
    settings = drawable(app, cluster)
    if settings is None:
        return False
    sys.stderr.write(welcome_text(cluster, settings.environment))
    sys.stderr.flush()
    sys.stdout.write(f"{BRACKETED_PASTE}{PYTHON_PROMPT}")
    sys.stdout.flush()
    return True


@contextmanager
def _first_prompt_cleared(*, drawn: bool) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if drawn:
            sys.stdout.write(f"{PLAIN_PASTE}\r\x1b[K")
            sys.stdout.flush()
        raise


def _python_session(app: Application, opened: OpenSession, recorder: TerminalRecorder | None) -> PythonSession:
    from safeconsole.output.presenting import screen_of
    from safeconsole.python.session import PythonSession

    return PythonSession(opened.session, opened.rules, screen_of(sys.stdout, sys.stderr, app.environ), recorder)


def _run(  # noqa: PLR0913 (what there is, what to run in it, and how)
    app: Application,
    opened: OpenSession,
    python: PythonSession,
    target: str,
    *,
    source: str | None,
    name: str,
    welcomed: bool,
) -> int:
    from safeconsole.python.audit_hook import AuditHook
    from safeconsole.python.console import forget_current_directory
    from safeconsole.python.namespace import names_for

    forget_current_directory()
    namespace = names_for(python, capacity=_capacity(app, opened))
    session = opened.session
    hook = AuditHook(lambda: session.policy.fences, python.note_finding, _nodes_of(app, opened))
    hook.install()
    try:
        with python.at_work():
            if target:
                from safeconsole.python.engine import load_application

                namespace.update(load_application(target, namespace["db"]))
            if source is not None:
                from safeconsole.python.console import run_script

                ended = run_script(python, source, namespace, name=name)
                return ended if isinstance(ended, int) else exit_code_of(ended)
        from safeconsole.cli.python_names import LearntNames
        from safeconsole.python.console import run_console

        directory = opened.history_directory
        names = LearntNames(opened.session, opened.rules, directory)
        context = opened.session.context
        if welcomed:
            # The real prompt is drawn over the first one.
            python.screen.data.write("\r")
            python.screen.data.flush()
        else:
            python.screen.messages.write(welcome_text(context.cluster, context.environment))
        return run_console(python, namespace, history_directory=directory, names=names)
    finally:
        hook.remove()


def _capacity(app: Application, opened: OpenSession) -> Callable[[str], None]:
    def show(options: str) -> None:
        from safeconsole.cli.capacity import capacity_command

        capacity_command(app, opened)(options)

    return show


def _nodes_of(app: Application, opened: OpenSession) -> Callable[[], Iterable[str]]:
    session = opened.session
    configured = app.settings().clusters[session.context.cluster].nodes
    return lambda: (*configured, *session.addresses)
