"""The console that engineers use on production databases instead of the raw one."""

__version__ = "0.1.0"
