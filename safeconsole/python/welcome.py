"""What the Python console says first; here alone, so that it can be said before anything is imported or opened."""

from __future__ import annotations

PYTHON_PROMPT = ">>> "
"""ptpython's own."""

_WELCOME = """\
{cluster} ({environment}). Reads go to a proven replica under limits; what writes needs: with elevate(reason="…"): …
db.sql("SELECT …")   db.tables.NAME   db.session()   db.engine   why()   topology()   help(db)
"""


def welcome_text(cluster: str, environment: str) -> str:
    """
    Return the console's first lines.

    Args:
        cluster: its name in the person's configuration.
        environment: as configured, or "".
    """
    # A terminal obeys whoever writes to it.
    name, where = (text if text.isprintable() else "?" for text in (cluster, environment or "no environment"))
    return _WELCOME.format(cluster=name, environment=where)
