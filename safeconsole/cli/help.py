"""Shell completion, and the manual page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from safeconsole import __version__
from safeconsole.cli.application import Application
from safeconsole.errors import SafeConsoleError

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

    from safeconsole.cli.root import root

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
    from safeconsole.cli.root import root

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
