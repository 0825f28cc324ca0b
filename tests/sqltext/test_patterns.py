"""Patterns that are compiled when they are first used."""

import importlib
import pkgutil
import re

import safeconsole
from safeconsole.patterns import late


def test_is_the_pattern_that_it_would_be():
    pattern = late(r"(?P<word>[a-z]+)(\d*)", re.IGNORECASE)
    assert pattern.fullmatch("Abc12")["word"] == "Abc"
    assert pattern.match("--abc", 2).span() == (2, 5)
    assert pattern.sub("x", "a1 b2") == "x x"
    assert [found.group() for found in pattern.finditer("a1 b2")] == ["a1", "b2"]
    assert pattern.pattern == r"(?P<word>[a-z]+)(\d*)"


def test_every_one_of_the_program_compiles():
    """What `re.compile` would say at the import is said here."""
    found = 0
    for package in ("audit", "config", "dialects", "mysql", "output", "policy", "session", "sqltext"):
        for module in pkgutil.iter_modules(importlib.import_module(f"{safeconsole.__name__}.{package}").__path__):
            values = vars(importlib.import_module(f"safeconsole.{package}.{module.name}")).values()
            patterns = [value for value in values if isinstance(value, type(late("")))]
            assert all(re.compile(pattern.pattern) for pattern in patterns)
            found += len(patterns)
    assert found > 50
