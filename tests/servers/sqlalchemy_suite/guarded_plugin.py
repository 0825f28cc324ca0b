"""SQLAlchemy's own pytest plug-in, with the guarded dialect known to it; see test_sqlalchemy_suite.py."""

import pytest

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

import guarded_dialect  # noqa: E402, F401 (registers itself)
from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F403
