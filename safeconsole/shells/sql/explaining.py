"""Shows the plan of a statement, and the dangers that the analysis and the server's estimate see in it."""

from __future__ import annotations

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.statement import Statement
from safeconsole.core.vocabulary import Flavour
from safeconsole.shells.sql.catalogue import explain_sql
from safeconsole.shells.sql.collecting import CollectingPresenter
from safeconsole.shells.sql.plans import plan_text, steps_from_json, steps_from_rows
from safeconsole.shells.sql.running import run_statement
from safeconsole.shells.sql.state import ConsoleState
from safeconsole.shells.terminal.cells import safe
from safeconsole.shells.terminal.formats import render


def explain_statement(state: ConsoleState, statement: Statement) -> None:
    """
    Ask for the plan down the same road, and draw it.

    Raises:
        ConfigurationError: a statement that explains already.
    """
    if statement.kind.startswith("explain"):
        raise ConfigurationError("that explains already: give the statement itself")
    flavour = state.services.rules().flavour
    presenter = CollectingPresenter()
    for asked in state.gate.split(explain_sql(flavour, statement.text)):
        if not run_statement(state, asked, presenter):
            return
    state.answer(_drawn(state, presenter, flavour))
    for hazard in statement.hazards:
        state.say(safe(f"hazard: {hazard.id} ({hazard.cost}): {hazard.why}"))
        if hazard.instead:
            state.say(safe(f"  instead: {hazard.instead}"))


def _drawn(state: ConsoleState, presenter: CollectingPresenter, flavour: Flavour) -> str:
    look = state.screen().data_look
    try:
        if flavour is Flavour.SQLITE:
            steps = steps_from_rows(presenter.held)
        else:
            steps = steps_from_json(str(presenter.held[0][0]))
    except (ValueError, IndexError, TypeError):
        return render(presenter.columns, presenter.held, "vertical", look)
    return plan_text(steps, decorated=look.decorated)
