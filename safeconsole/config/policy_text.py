"""Strict YAML for policies: plain mappings, sequences and scalars, unique keys, with the line of each.

Aliases, tags, keys that are not text, and scalars that YAML reads as dates or the like are refused.
"""

from __future__ import annotations

import yaml

from safeconsole.errors import PolicyInvalidError

DEEPEST = 20
"""Collections in a policy nest four deep."""


def document_of(text: bytes, source: str) -> tuple[object, dict[str, int]]:
    """Return the document in a YAML text, and the line of each of its keys and items by path.

    Raises PolicyInvalidError: it is not plain YAML; the message names file and line.
    """
    try:
        _require_shallow(text, source)
        root = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise PolicyInvalidError(f"{where}: {problem}") from None
    lines: dict[str, int] = {}
    if root is None:
        return None, lines
    return _value(root, "", source, lines, set()), lines


def _require_shallow(text: bytes, source: str) -> None:
    # Composing recurses, in compiled code too: depth has to be known before.
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise PolicyInvalidError(f"{source}: nested deeper than a policy can be")


def _value(node: yaml.Node, path: str, source: str, lines: dict[str, int], seen: set[int]) -> object:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if id(node) in seen:
        raise PolicyInvalidError(f"{source}:{line}: an alias; write the value twice instead")
    seen.add(id(node))
    if isinstance(node, yaml.CollectionNode) and node.tag not in {_MAP, _SEQUENCE}:
        raise PolicyInvalidError(f"{source}:{line}: a tag {node.tag}; a policy has none")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, source, lines, seen)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, f"{path}[{index}]", source, lines, seen) for index, item in enumerate(node.value)]
    return _scalar(node, f"{source}:{line}")


def _mapping(
    node: yaml.MappingNode, path: str, source: str, lines: dict[str, int], seen: set[int]
) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.tag != "tag:yaml.org,2002:str":
            raise PolicyInvalidError(f"{source}:{line}: a key that is not plain text")
        if key.value in values:
            raise PolicyInvalidError(f"{source}:{line}: {key.value} is given twice")
        where = f"{path}.{key.value}" if path else key.value
        lines[where] = line
        values[key.value] = _value(value, where, source, lines, seen)
    return values


def _scalar(node: yaml.Node, where: str) -> object:
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind not in {"str", "int", "float", "bool", "null"}:
        raise PolicyInvalidError(f"{where}: {node.value} is read as a {kind}; put it in quotes")
    if kind == "str":
        return node.value
    try:
        value = yaml.safe_load(node.value)
    except (yaml.YAMLError, ValueError):
        value = node.value
    # An explicit tag may claim what the text is not.
    if isinstance(value, str):
        raise PolicyInvalidError(f"{where}: {node.value} is not of type {kind}")
    return value


_MAP, _SEQUENCE = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
