"""What holds for every test: who runs them makes no difference to what they see."""

import os

from safeconsole.adapters.local.identity import AGENT_MARKERS


def pytest_configure():
    """A build server's or a coding agent's mark would make everybody in the tests an agent."""
    for variable, _ in AGENT_MARKERS:
        os.environ.pop(variable, None)
