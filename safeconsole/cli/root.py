"""The root of the command line, shell completion and the manual page.

It imports only the given command, and turns failures into one line and an exit code.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from safeconsole import __version__
from safeconsole.cli.application import Application, forget_output, told_failure
from safeconsole.errors import SafeConsoleError
from safeconsole.output.text import forgive_encoding

COMMANDS: dict[str, tuple[str, str]] = {
    "approve": ("safeconsole.cli.approve:approve", "Approve another person's request."),
    "audit": ("safeconsole.cli.audit:audit", "Read, search and verify the journals."),
    "capacity": ("safeconsole.cli.capacity:capacity", "Show table sizes and migration leftovers, safely."),
    "check": ("safeconsole.cli.check:check", "Dry run: show the verdict."),
    "completion": ("safeconsole.cli.root:completion", "Print a shell completion script."),
    "config": ("safeconsole.cli.config:config", "Show and check the configuration; pull a team's."),
    "credentials": ("safeconsole.cli.clusters:credentials", "Store passwords in this computer's keyring."),
    "demo": ("safeconsole.cli.demo:demo", "Try the console on a temporary cluster."),
    "doctor": ("safeconsole.cli.clusters:doctor", "Check a cluster: what is wrong, and how to fix it."),
    "fleet": ("safeconsole.cli.fleet:fleet", "Run one read on many clusters, on a replica of each."),
    "gateway": ("safeconsole.cli.gateway:gateway", "Serve a cluster to any MySQL client."),
    "init": ("safeconsole.cli.clusters:init", "Add a cluster to your configuration."),
    "man": ("safeconsole.cli.root:man", "Print the manual page."),
    "mcp": ("safeconsole.cli.mcp:mcp", "Serve a cluster to an agent, over MCP."),
    "policy": ("safeconsole.cli.policy:policy", "Show policies, and test them with their cases."),
    "python": ("safeconsole.cli.python:python", "Work on a cluster from Python, with your own models."),
    "serve": ("safeconsole.cli.serve:serve", "Show a team the sessions of all computers, in a browser."),
    "sql": ("safeconsole.cli.sql:sql", "Query a cluster: the console, or statements with -e."),
    "token": ("safeconsole.cli.token:token", "Issue, list and revoke the tokens of a gateway."),
    "undo": ("safeconsole.cli.undo:undo", "Put the rows of a change back, where its policy keeps them."),
    "topology": ("safeconsole.cli.clusters:topology", "Show a cluster's nodes, and which are fit for reads."),
}

EPILOG = """
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
            # Imported here: nobody else needs it.
            from difflib import get_close_matches

            near = get_close_matches(args[0], [*COMMANDS, *app.settings().clusters], n=1)
            perhaps = f"; perhaps {near[0]}" if near else ""
            raise click.UsageError(
                f"{args[0]!r} is neither a command nor a configured cluster (those are: {clusters}){perhaps}"
            )
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and the clusters with a prefix: a cluster's name alone opens its console."""
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


SHELLS: tuple[str, ...] = ("bash", "zsh", "fish")
PROGRAM = "safeconsole"
VARIABLE = "_SAFECONSOLE_COMPLETE"


if TYPE_CHECKING:
    _Name = click.ParamType[str]
else:
    # Generic from click 8.4 on, and for checkers only.
    _Name = click.ParamType


class ClusterName(_Name):
    """A cluster's name, completed from the configuration."""

    name = "cluster"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 (click's signature)
        incomplete: str,
    ) -> list[CompletionItem]:
        root = ctx.find_root()
        return [CompletionItem(name) for name in cluster_names(root.obj, root.params.get("config"), incomplete)]


CLUSTER = ClusterName()


def cluster_names(app: Application, config: str | None, beginning: str) -> list[str]:
    """Return the configured clusters with a prefix, sorted; none where the configuration cannot be read."""
    app.configure(config)
    try:
        return sorted(name for name in app.settings().clusters if name.startswith(beginning))
    except SafeConsoleError:
        return []


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script for SHELL: commands, options and cluster names.

    \b
    bash: safeconsole completion bash > ~/.local/share/bash-completion/completions/safeconsole
    zsh:  safeconsole completion zsh > ~/.zfunc/_safeconsole, with ~/.zfunc in $fpath before compinit
    fish: safeconsole completion fish > ~/.config/fish/completions/safeconsole.fish
    """
    # Imported for this moment only, as every shell's own module.
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(root, {}, PROGRAM, VARIABLE).source())


@click.command()
def man() -> None:
    """Print the manual page, in roff.

    \b
    safeconsole man > ~/.local/share/man/man1/safeconsole.1
    safeconsole man | man -l -
    """
    click.echo(manual_page(root), nl=False)


def manual_page(root: click.Group) -> str:
    context = click.Context(root, info_name=root.name, **root.context_settings)
    lines = [
        f'.TH SAFECONSOLE 1 "" "safeconsole {_text(__version__)}" "User Commands"',
        ".SH NAME",
        f"safeconsole \\- {_text(_first_sentence(root))}",
        ".SH SYNOPSIS",
        _text(f"safeconsole {' '.join(root.collect_usage_pieces(context))}"),
        ".SH DESCRIPTION",
        *_paragraphs(root.help or ""),
        ".SH OPTIONS",
        *_options(root, context),
        ".SH COMMANDS",
        *_commands(root, context),
        ".SH CONSOLE COMMANDS",
        *_console_commands(),
        ".SH EXIT STATUS",
        *_paragraphs(root.epilog or ""),
    ]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        yield f".SS {_text(inner.command_path)} {_text(' '.join(command.collect_usage_pieces(inner)))}"
        yield from _paragraphs(command.help or "")
        yield from _options(command, inner)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        # An argument without words of its own is described by its command.
        if record is not None and (record[1] or isinstance(parameter, click.Option)):
            yield from (".TP", f"\\fB{_text(record[0])}\\fR", _text(record[1]) or "\\&")


def _console_commands() -> Iterator[str]:
    # Imported here: it brings the prompt's library, and only this section needs it.
    from safeconsole.console.commands import COMMANDS

    for command in COMMANDS:
        words = " ".join([*command.names, command.arguments]).strip()
        yield from (".TP", f"\\fB{_text(words)}\\fR", _text(command.help))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in _unindented(text).split("\n\n"):
        verbatim = paragraph.startswith("\b\n")
        lines = paragraph.removeprefix("\b\n").strip().splitlines()
        if lines:
            yield ".PP"
            yield from (".nf",) * verbatim
            yield from map(_text, lines)
            yield from (".fi",) * verbatim


def _first_sentence(command: click.Command) -> str:
    return _unindented(command.help or "").split(".")[0].replace("\n", " ").strip()


def _unindented(text: str) -> str:
    return "\n".join(line.strip(" ") for line in text.strip().splitlines())


def _text(text: str) -> str:
    escaped = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    # Other characters by their number: a reader of roff need not know our encoding.
    escaped = "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in escaped)
    return f"\\&{escaped}" if escaped[:1] in {".", "'"} else escaped
