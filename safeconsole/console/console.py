"""The console's loop: read an entry, run it, show the result, until the person leaves."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, run_in_terminal
from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output

from safeconsole import interrupts
from safeconsole.cluster.engine import Row
from safeconsole.console.commands import command_arguments, dispatch, is_bare_word, record_entry
from safeconsole.console.completing import SqlCompleter, SqlLexer
from safeconsole.console.learning import EarlyNames, KnownRules, NameRefresher, glance_through
from safeconsole.console.names import SchemaNames, load_names
from safeconsole.console.prompt import (
    PLAIN_STYLE,
    STYLE,
    LiveVerdict,
    Preview,
    continuation_text,
    opening_parts,
    preview_of,
    prompt_parts,
    toolbar_parts,
    vi_mode_text,
)
from safeconsole.console.running import run_text
from safeconsole.console.state import After, ConsoleState, Opened, Opening, Services, Streams
from safeconsole.errors import ConfigurationError, SafeConsoleError
from safeconsole.output.recording import TerminalRecorder
from safeconsole.output.text import safe
from safeconsole.queries import query_names
from safeconsole.session.context import Status
from safeconsole.sqltext.lexer import LexicalRules, TokenKind
from safeconsole.sqltext.redaction import may_hold_secret
from safeconsole.sqltext.splitting import is_complete, split
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import CostClass, Effect

if TYPE_CHECKING:
    from safeconsole.session.session import Session


INTERRUPTED = 130
"""The exit code after a second Ctrl-C: a shell's for an interrupt."""


class Terminal(msgspec.Struct, frozen=True, kw_only=True):
    """The terminal a console runs on; the process's own by default.

    Attributes:
        keys, drawing: where keys come from and the prompt is drawn; None is the process's terminal.
        streams: where everything else goes; None is standard output, standard error and the prompt.
        recorder: what records it, None for nothing.
    """

    keys: Input | None = None
    drawing: Output | None = None
    streams: Streams | None = None
    environ: Mapping[str, str] = msgspec.field(default_factory=lambda: os.environ)
    recorder: TerminalRecorder | None = None


def run_console(
    session: Session, *, services: Services, history_directory: str = "", terminal: Terminal | None = None
) -> int:
    """Run the console on an open session until the person leaves, without `early` questions; see `talk`."""
    return talk(
        Opening.of(Opened(session=session, services=services)),
        standing=session.status(),
        history_directory=history_directory,
        terminal=terminal,
        early=False,
    )


def talk(
    opening: Opening,
    *,
    standing: Status,
    history_directory: str = "",
    terminal: Terminal | None = None,
    early: bool = True,
) -> int:
    """Run the console until the person leaves; opens the session once the prompt is drawn, and does not close it.

    Args:
        standing: what the prompt shows until it is open.
        history_directory: where histories are kept, "" for nowhere.
        terminal: see `Terminal`.
        early: ask a replica for names to complete while the first entry is typed, where none are stored.

    Returns:
        The exit code: 0, or `INTERRUPTED` for who left by pressing Ctrl-C again.

    Raises:
        SafeConsoleError: the session cannot be opened.
    """
    terminal = terminal or Terminal()
    session: PromptSession[str] = PromptSession(input=terminal.keys, output=terminal.drawing)
    streams = terminal.streams or Streams(
        data=sys.stdout,
        messages=sys.stderr,
        environ=terminal.environ,
        ask=partial(_ask, terminal),
    )
    state = ConsoleState(
        opening=opening,
        standing=standing,
        streams=streams,
        asked=[],
        names=SchemaNames(),
        recorder=terminal.recorder or TerminalRecorder(),
    )
    refresher = NameRefresher(glance=partial(_glance, state), directory=history_directory)
    first = EarlyNames(partial(_learn_early, refresher, state), partial(_interrupt, state))
    told = partial(_told_above, session, state)
    rules = KnownRules(partial(_rules_of, opening), told, first.learn if early else lambda: None)
    live = LiveVerdict(partial(_previews, state), partial(_redraw, session))
    pasted = Pasted()
    _furnish(session, state, live, pasted, rules)
    session.history = session.default_buffer.history = _history(state, history_directory)
    state.names = load_names(history_directory, standing.cluster, standing.schema)
    session.app.after_render += lambda _app: _begin(session, opening, rules)
    try:
        while _turn(session, state, live, pasted, first) is After.STAY:
            _refresh(refresher, state)
    finally:
        live.close()
    return INTERRUPTED if state.leaving else 0


def _ask(terminal: Terminal, question: str) -> str:
    with terminal.recorder.reading() if terminal.recorder else nullcontext():
        return PromptSession[str](input=terminal.keys, output=terminal.drawing).prompt(question)


def _rules_of(opening: Opening) -> LexicalRules:
    return opening.get().services.rules()


def _query_names(state: ConsoleState) -> list[str]:
    opened = state.opening.now()
    try:
        return query_names(opened.services.queries) if opened is not None else []
    except ConfigurationError:
        return []


def _begin(session: PromptSession[str], opening: Opening, rules: KnownRules) -> None:
    def done() -> None:
        if (failure := opening.failure) is not None:
            _call(session, lambda: session.app.exit(exception=failure))
        _redraw(session)

    opening.begin(done)
    rules.begin()


def _furnish(
    session: PromptSession[str], state: ConsoleState, live: LiveVerdict, pasted: Pasted, rules: KnownRules
) -> None:
    decorated = state.screen().messages_style.decorated
    session.style = STYLE if decorated else PLAIN_STYLE
    session.lexer = SqlLexer(rules.now)
    session.auto_suggest = ReadSuggest()
    session.key_bindings = key_bindings(rules.now, pasted)
    session.multiline = True
    session.completer = SqlCompleter(rules.now, lambda: state.names, command_arguments(), partial(_query_names, state))
    session.complete_while_typing = True
    session.complete_in_thread = True
    session.prompt_continuation = lambda width, _line, wrapped: "" if wrapped else continuation_text(width)
    session.bottom_toolbar = lambda: _toolbar(session, state, live)
    session.default_buffer.on_text_changed += lambda buffer: live.typed(command_below(buffer.text, rules.now())[0])


def _turn(
    session: PromptSession[str], state: ConsoleState, live: LiveVerdict, pasted: Pasted, early: EarlyNames
) -> After:
    if interrupts.told():
        return After.LEAVE
    live.typed("")
    pasted.yes = False
    draft, state.draft = state.draft, ""
    pasted.above = ""
    _tell(state)
    now = state.status()
    try:
        with state.recorder.reading(), interrupts.answered_by(partial(_leave_prompt, session)):
            text = session.prompt(
                lambda: prompt_parts(state.status()),
                default=draft,
                # The clock in the prompt runs only while there is something to count.
                refresh_interval=1.0 if now.elevated_seconds > 0 or now.transaction is not None else 0.0,
                editing_mode=EditingMode.VI if state.vi_keys else EditingMode.EMACS,
            )
    except KeyboardInterrupt:
        return After.STAY
    except EOFError:
        return After.LEAVE
    except Exception:
        if interrupts.told():
            # Nothing can be drawn any more on a terminal that is gone.
            return After.LEAVE
        raise
    finally:
        early.make_way()
        # What ended while they typed is said before what they typed is run.
        _tell(state)
    if not text.strip():
        return After.STAY
    try:
        state.opening.get()
    except KeyboardInterrupt:
        return After.STAY
    state.draft = pasted.above
    state.asked.append(text.strip())
    record_entry(state, text)
    after = dispatch(state, text)
    if after is None:
        run_text(state, text, pasted=pasted.yes)
    return After.LEAVE if state.leaving else after or After.STAY


def _leave_prompt(session: PromptSession[str]) -> None:
    _call(session, lambda: session.app.exit(exception=EOFError()))


def _tell(state: ConsoleState) -> None:
    opened = state.opening.now()
    for line in opened.session.take_told() if opened else ():
        state.say(safe(line))


def _refresh(refresher: NameRefresher, state: ConsoleState) -> None:
    if state.session.status().transaction is not None:
        # What the console asks for itself is no part of it.
        return
    last = state.session.last()
    state.names = refresher.refresh(
        state.names, state.session.status(), state.services.rules().dialect, last.statement if last else None
    )


def _glance(state: ConsoleState, sql: str) -> Sequence[Row]:
    return glance_through(state.session, at_replicas=True)(sql)


def _interrupt(state: ConsoleState) -> None:
    state.session.interrupt()


def _learn_early(refresher: NameRefresher, state: ConsoleState) -> bool:
    state.names, more = refresher.begin(state.names, state.session, state.services.rules().dialect)
    return more


def _toolbar(session: PromptSession[str], state: ConsoleState, live: LiveVerdict) -> StyleAndTextTuples:
    columns = session.app.output.get_size().columns
    opened = state.opening.now()
    if opened is None:
        return opening_parts(state.standing.cluster, columns)
    mode = vi_mode_text(session.app.vi_state.input_mode) if state.vi_keys else ""
    parts = toolbar_parts(live.previews(), opened.session.limits, columns - len(mode), told=opened.session.told)
    return [("bold", mode), *parts]


def _previews(state: ConsoleState, text: str) -> tuple[Preview, ...]:
    # In a thread of its own: the gate's status is for the one that runs statements.
    state.session.expect_statement()
    to, judge = state.session.to, state.services.preview
    statements = state.session.split(text)
    if statements and _is_half_typed(statements[-1], text):
        statements = statements[:-1]
    return tuple(preview_of(statement, judge(statement), to=to) for statement in statements)


def _is_half_typed(statement: Statement, text: str) -> bool:
    if not text.endswith(statement.text):
        return False
    begins = statement.text.isalpha() and Effect.UNKNOWN in statement.effects
    # A quote or a comment is open while it is typed.
    return begins or any(hazard.cost is CostClass.UNREADABLE for hazard in statement.hazards)


def _history(state: ConsoleState, directory: str) -> History:
    if not directory:
        return InMemoryHistory()
    try:
        return history_of(directory, state.standing.cluster)
    except OSError as error:
        state.say(f"no history is kept: {directory}: {error.strerror}")
        return InMemoryHistory()


def _told_above(session: PromptSession[str], state: ConsoleState, error: SafeConsoleError) -> None:
    if state.opening.now() is not None:
        _call(session, lambda: run_in_terminal(lambda: state.refuse(error)))


def _redraw(session: PromptSession[str]) -> None:
    _call(session, session.app.invalidate)


def _call(session: PromptSession[str], act: Callable[[], object]) -> None:
    loop = session.app.loop

    def act_if_running() -> None:
        if session.app.is_running and not session.app.is_done:
            act()

    # Between two prompts there is nothing to do it, and a loop that ends meanwhile says so by raising.
    with suppress(RuntimeError):
        if loop is not None and session.app.is_running:
            loop.call_soon_threadsafe(act_if_running)


# What was typed, kept for one cluster: readable by its owner alone, and without what holds a secret.


def history_of(directory: str, cluster: str) -> ClusterHistory:
    """Return the history of a cluster. Raises OSError: the directory or the file cannot be made."""
    folder = Path(directory)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{quote(cluster, safe='')}.history"
    # The mode matters at birth: a file that is readable for a moment is readable.
    os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    path.chmod(0o600)
    return ClusterHistory(str(path))


class ClusterHistory(FileHistory):
    """A history file that never holds a statement with a secret."""

    def append_string(self, string: str) -> None:
        """Store an entry, unless it holds a secret or repeats the one before it."""
        if may_hold_secret(string) or self.get_strings()[-1:] == [string]:
            return
        super().append_string(string)

    def load_history_strings(self) -> Iterable[str]:
        """Yield history entries, newest first; an unreadable history is empty."""
        try:
            return list(super().load_history_strings())
        except (OSError, UnicodeError):
            return []


# Suggests from the history as one types, but never what could hurt.

_HARMLESS = re.compile(
    r"\s*(?:(?:select|show|desc|describe|explain\s+(?:format|select))\b[^;]*;?\s*|\\(?!elevate|once|run).*)",
    re.IGNORECASE,
)
_LOOKED_AT = 5_000


class ReadSuggest(AutoSuggest):
    """Suggests the newest read in the history that begins with the typed text.

    A write from the history is never offered: one key too many would bring an old UPDATE back to production.
    """

    def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
        text = document.text
        if not text.strip() or "\n" in text:
            return None
        for past in reversed(buffer.history.get_strings()[-_LOOKED_AT:]):
            if past.startswith(text) and len(past) > len(text) and _HARMLESS.fullmatch(past):
                return Suggestion(past[len(text) :])
        return None


# What the keys do: Enter sends what is complete, a paste is remembered as one.


class Pasted(msgspec.Struct):
    """How the text at the prompt came there.

    Attributes:
        yes: whether it was pasted, at least in part.
        above: the unfinished statement that a command was typed below, or "".
    """

    yes: bool = False
    above: str = ""


def key_bindings(rules: Callable[[], LexicalRules], pasted: Pasted) -> KeyBindings:
    keys = KeyBindings()
    typing = ~is_searching
    picking = Condition(_is_picking)

    def hand_in(buffer: Buffer) -> None:
        above, command = command_below(buffer.text, rules())
        if command:
            # What stands above it comes back with the next prompt.
            pasted.above = above
            buffer.document = Document(command)
        buffer.validate_and_handle()

    @keys.add(Keys.Enter, filter=typing & ~picking)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_ready(buffer.text, rules()):
            hand_in(buffer)
        else:
            buffer.newline(copy_margin=False)

    @keys.add(Keys.Enter, filter=typing & picking)
    def _(event: KeyPressEvent) -> None:
        # Takes the chosen completion and sends nothing: a word picked from a list is not yet a decision.
        event.current_buffer.complete_state = None

    @keys.add(Keys.Escape, Keys.Enter, filter=typing)
    def _(event: KeyPressEvent) -> None:
        hand_in(event.current_buffer)

    @keys.add(Keys.BracketedPaste, filter=typing)
    def _(event: KeyPressEvent) -> None:
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        pasted.yes = True
        event.current_buffer.insert_text(text)

    return keys


def is_ready(text: str, rules: LexicalRules) -> bool:
    """Whether Enter sends the text: it is empty, a console command, or ends with a complete statement."""
    stripped = text.strip()
    if not stripped or stripped.startswith("\\") or is_bare_word(stripped):
        return True
    return is_complete(text, rules) or bool(command_below(text, rules)[1])


# These belong to the statement: what ends it, and NULL as a file writes it.
_NO_COMMAND = re.compile(r"\\[GgN](?:\W|$)")


def command_below(text: str, rules: LexicalRules) -> tuple[str, str]:
    """Split off a command on the last line of an unfinished statement.

    Returns:
        The statement, and the command or "". Within a quote or a comment a backslash is part of that.
    """
    above, _, line = text.rstrip().rpartition("\n")
    command = line.strip()
    if not above.strip() or not command.startswith("\\") or _NO_COMMAND.match(command):
        return text, ""
    pieces = split(above, rules)
    if not pieces or pieces[-1].terminated or above.lstrip().startswith("\\"):
        return text, ""
    last = pieces[-1].tokens[-1]
    # What is not closed is read up to the end as one.
    is_open = last.kind is TokenKind.UNREADABLE and last.end == len(above)
    return (text, "") if is_open else (f"{above}\n", command)


def _is_picking() -> bool:
    state = get_app().current_buffer.complete_state
    return state is not None and state.current_completion is not None
