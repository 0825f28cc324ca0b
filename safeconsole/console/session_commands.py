"""Commands about the session: routing, limits and elevations."""

from __future__ import annotations

import shlex

from safeconsole.console.learning import glance_through
from safeconsole.console.prompt import status_text
from safeconsole.console.running import USUAL_PAGER, show_preview, show_statement
from safeconsole.console.state import ConsoleState
from safeconsole.dialects import queries
from safeconsole.errors import ConfigurationError, SafeConsoleError
from safeconsole.output.evidence import explanation_text, one_line, topology_text
from safeconsole.output.text import FORMATS, ROW_FORMATS, clock_text, safe, size_of, size_text
from safeconsole.session.context import Justification
from safeconsole.sqltext.vocabulary import Verdict

SHOWN_HISTORY = 50
"""Entries that \\history shows."""

CAPACITY_HINT = "safe sizes come from another program: safeconsole capacity {cluster}"


def status(state: ConsoleState, _argument: str) -> None:
    state.answer(status_text(state.session.status(), state.session.policy.label, state.format))


def topology(state: ConsoleState, _argument: str) -> None:
    readings = state.session.topology()
    state.answer(
        topology_text(state.session.context.cluster, readings, state.session.policy.gates, state.screen().data_style),
    )


def use(state: ConsoleState, argument: str) -> None:
    """Show or change where statements go."""
    if argument:
        state.session.use("" if argument == "auto" else argument)
    to = state.session.status().to
    state.say(
        f"statements go to: {to}"
        if to
        else "the console chooses: reads go to the fittest replica, writes to the primary"
    )


def use_schema(state: ConsoleState, argument: str) -> None:
    if not argument:
        raise ConfigurationError("\\u needs the name of a schema")
    name = argument.rstrip(";").strip().strip("`")
    if state.session.status().transaction is None and _is_unknown(state, name):
        raise ConfigurationError(
            f"there is no schema {safe(name)} that this account may see",
            instead="SHOW SCHEMAS; lists those that it may",
        )
    state.session.use_schema(name)


def _is_unknown(state: ConsoleState, schema: str) -> bool:
    asked = queries.schema_sql(state.services.rules().dialect, schema)
    if not asked:
        return False
    try:
        return not glance_through(state.session)(asked)
    except SafeConsoleError:
        return False


def capacity(state: ConsoleState, argument: str) -> None:
    if state.services.capacity is None:
        state.say(CAPACITY_HINT.format(cluster=state.session.context.cluster))
    else:
        state.services.capacity(argument)


def why(state: ConsoleState, _argument: str) -> None:
    last = state.session.last()
    if last is None:
        state.say("nothing was asked yet")
    else:
        state.answer(explanation_text(last, state.session.policy, state.screen().data_style))


def elevate(state: ConsoleState, argument: str) -> None:
    settings = state.session.policy.elevation
    reason, ticket, minutes = _typed_justification(argument)
    justification = asked_justification(state, reason, ticket)
    grant = state.session.elevate(
        reason=justification.reason,
        ticket=justification.ticket,
        window_seconds=minutes * 60 if minutes else settings.window_seconds,
    )
    state.say(
        f"elevated on {state.session.context.cluster} for {clock_text(grant.request.window_seconds)};"
        " \\stand-down ends it. "
        "what was refused is not run by itself: bring it back with the up arrow"
    )


def preview(state: ConsoleState, argument: str) -> None:
    """Show the rows that a change would touch: the typed one, or the one refused last."""
    state.previewed = None
    if argument:
        statements = state.session.split(argument)
        if len(statements) != 1:
            raise ConfigurationError("\\preview shows one statement")
        show_preview(state, statements[0])
        return
    last = state.session.last()
    if last is None or last.decision.verdict is not Verdict.ELEVATE:
        raise ConfigurationError("no change was refused", instead="\\preview UPDATE … or \\preview DELETE …")
    show_preview(state, last.statement)


def once(state: ConsoleState, argument: str) -> None:
    if state.previewed is not None:
        (statement, touched), state.previewed = state.previewed, None
        reason, ticket, _ = _typed_justification(argument)
        justification = asked_justification(state, reason, ticket)
        show_statement(state, statement, justification=justification, exactly_rows=touched)
        return
    last = state.session.last()
    if last is None or last.decision.verdict is not Verdict.ELEVATE:
        raise ConfigurationError(
            "no statement was refused for lack of an elevation", instead="type the statement first"
        )
    reason, ticket, minutes = _typed_justification(argument)
    if minutes:
        raise ConfigurationError("\\once is over when its statement is", instead="\\elevate --for opens a window")
    show_statement(state, last.statement, justification=asked_justification(state, reason, ticket))


def stand_down(state: ConsoleState, _argument: str) -> None:
    state.session.stand_down()
    state.say("not elevated")


def timeout(state: ConsoleState, argument: str) -> None:
    if argument:
        state.session.tighten("run_seconds", number_of(argument, "\\timeout needs seconds"))
    state.say(f"a statement may run {state.session.status().limits.run_seconds:g} s")


def rows(state: ConsoleState, argument: str) -> None:
    if argument:
        count = number_of(argument, "\\rows needs a number of rows")
        state.session.tighten("fetched_rows", count)
        state.session.tighten("shown_rows", min(count, state.session.policy.ceilings.shown_rows))
    limits = state.session.status().limits
    state.say(f"{limits.shown_rows:,} rows are shown, {limits.fetched_rows:,} are fetched")


def bytes_(state: ConsoleState, argument: str) -> None:
    """Show or change how many bytes of values are fetched."""
    if argument:
        try:
            state.session.tighten("fetched_bytes", size_of(argument))
        except ValueError as error:
            raise ConfigurationError(one_line(str(error))) from None
    state.say(f"{size_text(state.session.status().limits.fetched_bytes)} are fetched")


def format_(state: ConsoleState, argument: str) -> None:
    known = (*FORMATS, *ROW_FORMATS)
    if argument and argument not in known:
        raise ConfigurationError(f"no format {one_line(argument)}: one of {', '.join(known)}")
    state.format = argument or state.format
    state.say(f"rows are written as {state.format}")


def history(state: ConsoleState, argument: str) -> None:
    found = [text for text in state.asked if argument.lower() in text.lower()]
    state.answer("".join(f"{one_line(text)}\n" for text in found[-SHOWN_HISTORY:]) or "nothing\n")


def keys(state: ConsoleState, argument: str) -> None:
    if argument not in {"", "emacs", "vi"}:
        raise ConfigurationError(f"no keys {one_line(argument)}: emacs or vi")
    if argument:
        state.vi_keys = argument == "vi"
    state.say(f"the prompt has the keys of {'vi' if state.vi_keys else 'emacs'}")


def pager(state: ConsoleState, argument: str) -> None:
    if argument == "on":
        state.pager = state.streams.environ.get("PAGER") or USUAL_PAGER
    elif argument:
        state.pager = "" if argument == "off" else argument
    state.say(f"rows are handed to {state.pager}" if state.pager else "rows are written as they come, to no pager")


def number_of(text: str, problem: str) -> float:
    try:
        number = float(text.replace(",", "").replace("_", ""))
    except ValueError:
        raise ConfigurationError(f"{problem}, not {one_line(text)}") from None
    if not number > 0 or number == float("inf"):
        raise ConfigurationError(f"{problem}, not {one_line(text)}")
    return number


def asked_justification(state: ConsoleState, reason: str, ticket: str) -> Justification:
    reason = reason or state.streams.ask("reason: ").strip()
    if not reason:
        raise ConfigurationError("an elevation needs a reason")
    if not ticket:
        needed = state.session.policy.elevation.ticket_required
        ticket = state.streams.ask("ticket: " if needed else "ticket (Enter for none): ").strip()
    return Justification(reason=reason, ticket=ticket)


def _typed_justification(argument: str) -> tuple[str, str, float]:
    try:
        words = shlex.split(argument)
    except ValueError:
        # A reason such as "don't wait" is no shell text.
        words = argument.split()
    reason, ticket, minutes = [], "", 0.0
    rest = iter(words)
    for word in rest:
        if word == "--ticket":
            ticket = next(rest, "")
        elif word == "--for":
            minutes = number_of(next(rest, ""), "--for needs minutes")
        else:
            reason.append(word)
    return " ".join(reason), ticket, minutes
