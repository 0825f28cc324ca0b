"""What holds for every test: who runs them, and how, makes no difference to what they see."""

import os
import signal

from hypothesis import HealthCheck, settings

from safeconsole.adapters.local.identity import AGENT_MARKERS

# The same examples in each run, so that a change is what turns a test red; new ones are searched for with
# `pytest --hypothesis-profile=search`, which prints how to repeat what it finds. A busy machine breaks no deadline of
# an example.
STEADY = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **STEADY)
settings.register_profile("search", derandomize=False, **STEADY)
settings.load_profile("same")


def pytest_configure():
    """A build server's or a coding agent's mark would make everybody in the tests an agent."""
    for variable, _ in AGENT_MARKERS:
        os.environ.pop(variable, None)
    # A shell starts what it puts in the background with Ctrl-C ignored, and every program under test would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
