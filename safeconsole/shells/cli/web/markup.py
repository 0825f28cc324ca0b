"""HTML in which text can only be text: whatever is not made by `tag` is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from safeconsole.shells.terminal.cells import safe, safe_lines

VOID = frozenset({"input", "br", "meta", "link", "line", "rect", "polyline", "path", "circle"})
"""Elements without an end tag of their own."""


class Markup(str):
    """HTML that `tag` made."""

    __slots__ = ()


Child = str | Iterable[str]


def tag(name: str, /, *children: Child, **attributes: str | float | bool) -> Markup:
    """
    Return an element.

    Args:
        children: texts, which are escaped, and elements, which are not.
        attributes: `class_` is `class`, `_` in a name is `-`; True stands for a bare attribute, False and "" for none.
    """
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(
            f"<{name}{told}>" if name not in {"line", "rect", "polyline", "path", "circle"} else f"<{name}{told}/>"
        )
    return Markup(f"<{name}{told}>{together(*children)}</{name}>")


def together(*children: Child) -> Markup:
    """Return children beside each other, texts escaped."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        # Control and reordering characters are shown as escapes: a reviewer must see what was really asked.
        return escape("\n".join(safe_lines(child)))
    return "".join(_child(one) for one in child)


def _attribute(key: str, value: str | float | bool) -> str:  # noqa: FBT001 - an attribute's value
    if value is False or value == "":
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(safe(str(value)), quote=True)}"'
