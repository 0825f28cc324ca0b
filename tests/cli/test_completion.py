"""Shells complete our commands, and the manual page says what the commands say."""

import os
import re
import shutil
import subprocess
import sys

import click
import pytest

from safeconsole.cli.root import manual_page
from safeconsole.cli.root import root
from safeconsole.console.commands import COMMANDS as CONSOLE_COMMANDS


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('[clusters.shop]\nnodes = ["10.0.0.5"]\n[clusters.sales]\nnodes = ["10.0.0.6"]\n')
    path.chmod(0o600)
    return path


@pytest.fixture
def run_it(tmp_path):
    def run(*arguments, **environ):
        kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [sys.executable, "-m", "safeconsole", *arguments],
            env=kept | environ, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    return run


@pytest.fixture
def completed(run_it, config):
    def complete(line, **environ):
        words = line.split(" ")
        shown = run_it(
            _SAFECONSOLE_COMPLETE="bash_complete", SAFECONSOLE_CONFIG=str(config),
            COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), **environ,
        )  # fmt: skip
        return [line.partition(",")[2] for line in shown.split()]

    return complete


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("safeconsole s", ["sql", "sales", "shop"]),
        ("safeconsole sql sh", ["shop"]),
        ("safeconsole topology s", ["sales", "shop"]),
        ("safeconsole sql shop --ti", ["--timeout", "--ticket"]),
        ("safeconsole sql shop --format js", ["json", "jsonl"]),
        ("safeconsole audit re", ["replay", "review"]),
        ("safeconsole --con", ["--config"]),
    ],
)
def test_a_shell_is_told_what_may_follow(line, found, completed):
    assert set(found) <= set(completed(line))
    assert all(word.startswith(line.rsplit(" ", 1)[1]) for word in completed(line))


def test_a_configuration_that_cannot_be_read_breaks_no_shell(completed, config):
    config.write_text("nonsense")
    assert completed("safeconsole sql sh") == []


def test_the_named_configuration_is_read(completed, config, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text('[clusters.shed]\nnodes = ["10.0.0.5"]\n')
    other.chmod(0o600)
    assert completed(f"safeconsole --config {other} sql sh") == ["shed"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_read_what_is_printed_for_it(shell, run_it, tmp_path):
    script = run_it("completion", shell)
    assert "_SAFECONSOLE_COMPLETE" in script
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    path = tmp_path / "script"
    path.write_text(script)
    subprocess.run([shell, "-n", path], check=True)


def every_command(group, context, words=()):
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from every_command(command, click.Context(command, info_name=name, parent=context), (*words, name))


def test_the_manual_says_every_command_option_and_console_command():
    page = manual_page(root).replace("\\-", "-").replace("\\e", "\\").replace("\\&", "")
    page = re.sub(r"\\\[u([0-9A-F]{4})\]", lambda match: chr(int(match[1], 16)), page)
    for words, command in every_command(root, click.Context(root, info_name="safeconsole", **root.context_settings)):
        assert f".SS safeconsole {' '.join(words)} " in page, words
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert all(name in page for name in parameter.opts), (words, parameter.opts)
                assert " ".join((parameter.help or "").split()) in page
    assert all(name in page for command in CONSOLE_COMMANDS for name in command.names)
    assert "Exit codes: 0 done" in page


def test_the_manual_is_a_manual(run_it, tmp_path):
    if shutil.which("groff") is None:
        pytest.skip("no groff here")
    path = tmp_path / "safeconsole.1"
    path.write_text(run_it("man"))
    drawn = subprocess.run(["groff", "-man", "-Tutf8", "-P-c", "-ww", path], capture_output=True, text=True, check=True)
    assert drawn.stderr == ""
    assert "safeconsole audit replay" in re.sub(".\x08", "", drawn.stdout)
