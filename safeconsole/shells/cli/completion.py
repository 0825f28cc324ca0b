"""`safeconsole completion`: what a shell needs to complete commands, options and the names of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from safeconsole.core.errors import SafeConsoleError
from safeconsole.shells.cli.application import Application

SHELLS: tuple[str, ...] = ("bash", "zsh", "fish")
PROGRAM = "safeconsole"
VARIABLE = "_SAFECONSOLE_COMPLETE"


if TYPE_CHECKING:
    _Name = click.ParamType[str]
else:
    # Generic from click 8.4 on, and for checkers only.
    _Name = click.ParamType


class ClusterName(_Name):
    """A cluster's name; a shell completes it from the configuration."""

    name = "cluster"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 (click's signature)
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the configured clusters that begin so; none where the configuration cannot be read."""
        root = ctx.find_root()
        return [CompletionItem(name) for name in cluster_names(root.obj, root.params.get("config"), incomplete)]


CLUSTER = ClusterName()


def cluster_names(app: Application, config: str | None, beginning: str) -> list[str]:
    """Return the configured clusters that begin so, sorted; a shell is told nothing of what is wrong."""
    app.configure(config)
    try:
        return sorted(name for name in app.settings().clusters if name.startswith(beginning))
    except SafeConsoleError:
        return []


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """
    Print what makes SHELL complete commands, options and the names of clusters.

    \b
    bash: safeconsole completion bash > ~/.local/share/bash-completion/completions/safeconsole
    zsh:  safeconsole completion zsh > ~/.zfunc/_safeconsole, with ~/.zfunc in $fpath before compinit
    fish: safeconsole completion fish > ~/.config/fish/completions/safeconsole.fish
    """
    # Imported for this moment only, as every shell's own module.
    from click.shell_completion import get_completion_class

    from safeconsole.shells.cli.root import root

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(root, {}, PROGRAM, VARIABLE).source())
