"""The parts of SQLAlchemy's compliance suite that are about what a console does: types, binds, rows, inserts."""

from sqlalchemy.testing.suite.test_dialect import *  # noqa: F403
from sqlalchemy.testing.suite.test_insert import *  # noqa: F403
from sqlalchemy.testing.suite.test_results import *  # noqa: F403
from sqlalchemy.testing.suite.test_select import *  # noqa: F403
from sqlalchemy.testing.suite.test_types import *  # noqa: F403
from sqlalchemy.testing.suite.test_update_delete import *  # noqa: F403

# The elevated account may not make foreign keys (REFERENCES).
del JoinTest  # noqa: F821
