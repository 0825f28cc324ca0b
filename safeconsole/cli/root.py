"""The root of the command line: imports only the given command, and turns failures into one line and an exit code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from safeconsole import __version__
from safeconsole.cli.application import Application, forget_output, told_failure
from safeconsole.errors import SafeConsoleError
from safeconsole.output.text import forgive_encoding

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS: dict[str, tuple[str, str]] = {
    "approve": ("safeconsole.cli.approve:approve", "Approve another person's request."),
    "audit": ("safeconsole.cli.audit:audit", "Read, search and verify the journals."),
    "capacity": ("safeconsole.cli.capacity:capacity", "Show table sizes and migration leftovers, safely."),
    "check": ("safeconsole.cli.check:check", "Dry run: show the verdict."),
    "completion": ("safeconsole.cli.help:completion", "Print a shell completion script."),
    "credentials": ("safeconsole.cli.clusters:credentials", "Store passwords in this computer's keyring."),
    "demo": ("safeconsole.cli.demo:demo", "Try the console on a temporary cluster."),
    "doctor": ("safeconsole.cli.clusters:doctor", "Check a cluster: what is wrong, and how to fix it."),
    "fleet": ("safeconsole.cli.fleet:fleet", "Run one read on many clusters, on a replica of each."),
    "gateway": ("safeconsole.cli.gateway:gateway", "Serve a cluster to any MySQL client."),
    "init": ("safeconsole.cli.clusters:init", "Add a cluster to your configuration."),
    "man": ("safeconsole.cli.help:man", "Print the manual page."),
    "mcp": ("safeconsole.cli.mcp:mcp", "Serve a cluster to an agent, over MCP."),
    "policy": ("safeconsole.cli.policy:policy", "Show policies, and test them with their cases."),
    "python": ("safeconsole.cli.python:python", "Work on a cluster from Python, with your own models."),
    "sql": ("safeconsole.cli.sql:sql", "Query a cluster: the console, or statements with -e."),
    "token": ("safeconsole.cli.token:token", "Issue, list and revoke the tokens of a gateway."),
    "topology": ("safeconsole.cli.clusters:topology", "Show a cluster's nodes, and which are fit for reads."),
}

EPILOG = """\b
Exit codes: 0 done, 1 the server's own error, 2 usage or configuration, 3 needs elevation or confirmation,
4 denied, 5 stopped by a limit, 6 outcome unknown, 7 audit unavailable, 8 no healthy node.
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called; any other first word is a cluster's name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; `safeconsole CLUSTER` is `safeconsole sql CLUSTER`."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            app: Application = ctx.obj
            # The names are looked up before the root command runs.
            app.configure(ctx.params.get("config"))
            if args[0] in app.settings().clusters:
                return super().resolve_command(ctx, ["sql", *args])
            clusters = ", ".join(sorted(app.settings().clusters)) or "none"
            raise click.UsageError(f"{args[0]!r} is neither a command nor a configured cluster (those are: {clusters})")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and the clusters with a prefix: a cluster's name alone opens its console."""
        # Imported for the shell that asks.
        from click.shell_completion import CompletionItem

        from safeconsole.cli.help import cluster_names

        found = [
            CompletionItem(name, help=text)
            for name, (_, text) in sorted(COMMANDS.items())
            if name.startswith(incomplete)
        ]
        clusters = cluster_names(ctx.obj, ctx.params.get("config"), incomplete)
        options = click.Command.shell_complete(self, ctx, incomplete) if incomplete.startswith("-") else []
        return [*options, *found, *(CompletionItem(name) for name in clusters if name not in COMMANDS)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])


@click.group(
    cls=LazyGroup,
    name="safeconsole",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(__version__, prog_name="safeconsole")
@click.option("--config", metavar="FILE", help="Configuration; else $SAFECONSOLE_CONFIG, the user's, the system's.")
@click.pass_obj
def root(app: Application, config: str | None) -> None:
    """Ask production databases without hurting them.

    Reads go to a proven replica, under limits. What could hurt is stopped, explained, and runs only after
    an elevation. Everything is in an audit journal. `safeconsole CLUSTER` opens the console; `safeconsole demo`
    opens it on a cluster of its own.
    """
    app.configure(config)


def main(arguments: Sequence[str], app: Application) -> int:
    """Run one command line; every failure is one line on standard error and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        forgive_encoding(stream)
    code: object = 0
    try:
        code = root.main(list(arguments), prog_name="safeconsole", standalone_mode=False, obj=app)
        sys.stdout.flush()
    except SafeConsoleError as error:
        return told_failure(error, app.environ)
    except click.ClickException as error:
        hint = f"\n  see: {error.ctx.command_path} --help" if isinstance(error, click.UsageError) and error.ctx else ""
        sys.stderr.write(f"safeconsole: {error.format_message()}{hint}\n")
        return 2
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("safeconsole: interrupted\n")
        return 130
    except BrokenPipeError:
        # The reader of our output left; nothing of it is wrong.
        forget_output()
    except OSError as error:
        forget_output()
        sys.stderr.write(f"safeconsole: {(error.strerror or str(error)).lower()}: {error.filename or 'the output'}\n")
        return 2
    return code if isinstance(code, int) else 0
