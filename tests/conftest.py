"""What holds for every test: who runs them, and how, makes no difference to what they see."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from safeconsole.config.identity import AGENT_MARKERS

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


# What takes longest starts first, and what has servers of its own ends the run, one test at a time, so that no worker is
# left alone with a long file while the others have nothing to do.
LONG = (
    "servers/test_sqlalchemy_suite.py",
    "servers/test_disconnect_matrix.py",
    "differential/test_effects.py",
    "servers/test_watchdog.py",
    "servers/test_facts.py",
    "servers/test_mysql_engine.py",
    "people/test_two_persons.py",
    "servers/test_planted_secrets.py",
    "servers/test_mcp.py",
    "release/test_install.py",
    "people/test_agents.py",
    "servers/test_disconnects.py",
    "servers/test_capacity.py",
)
BY_THEMSELVES = (
    "servers/test_discovery.py",
    "servers/test_failover.py",
    "servers/test_own_writes.py",
    "reconnect/test_promotion.py",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: _turn(item.path.as_posix()))


def _turn(path):
    if path.endswith(BY_THEMSELVES):
        return len(LONG) + 1
    return next((turn for turn, name in enumerate(LONG) if path.endswith(name)), len(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give a worker a whole file, as `--dist loadfile` does, but what has servers of its own one test at a time."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            path = nodeid.split("::", 1)[0]
            return nodeid if path.endswith(BY_THEMSELVES) else path

    return Scheduling(config, log)


pytest_plugins = ["tests.harness.faces", "tests.harness.journals"]
