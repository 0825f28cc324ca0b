"""An application's own models, brought into the console and bound to the guarded engine."""

from __future__ import annotations

import importlib
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeMeta, registry, scoped_session, sessionmaker

from safeconsole.errors import ConfigurationError
from safeconsole.python.namespace import Database

TAKEN = "a declarative base, a registry, a MetaData, a sessionmaker or a scoped_session"


def load_application(target: str, db: Database) -> dict[str, Any]:
    """
    Import an application's models and bind what sends statements to the guarded engine.

    Args:
        target: "module:attribute", such as "shop.models:Base".

    Returns:
        Names for the console: the attribute, and every mapped class.

    Raises:
        ConfigurationError: it cannot be imported, has no such attribute, or is none of what can be taken.
    """
    module_name, colon, attribute = target.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigurationError(f"{target} is not MODULE:ATTR", instead="for example shop.models:Base")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigurationError(
            f"{module_name} cannot be imported: {error}",
            instead="the current directory is not searched: set PYTHONPATH to where the application is",
        ) from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(f"{module_name} has no {attribute}")
        found = getattr(found, name)
    return {attribute.rpartition(".")[2]: found, **_bind(found, db, target)}


def _bind(found: Any, db: Database, target: str) -> dict[str, Any]:  # noqa: ANN401 (whatever the application has)
    if isinstance(found, sessionmaker | scoped_session):
        found.configure(bind=db.engine)
        db.announce_flushes(found)
        return {}
    if isinstance(found, MetaData):
        db.tables.add(found)
        return {}
    models = found if isinstance(found, registry) else getattr(found, "registry", None)
    if isinstance(models, registry) and (models is found or isinstance(found, type | DeclarativeMeta)):
        db.tables.add(models.metadata)
        return {mapper.class_.__name__: mapper.class_ for mapper in models.mappers}
    raise ConfigurationError(f"{target} is {type(found).__name__}", instead=f"name {TAKEN}")
