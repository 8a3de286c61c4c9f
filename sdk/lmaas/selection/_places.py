"""Where in a YAML file a value stands, for errors that point there."""

from __future__ import annotations

from collections.abc import Sequence


def line_of(text: str, place: Sequence[str | int]) -> int | None:
    """Return the line, from 1 on, of the value at `place`, or of what is nearest around it.

    Args:
        text: The YAML file.
        place: Keys and indices, as pydantic gives them; parts that the file does not have end the way there.
    """
    import yaml  # noqa: PLC0415 - an extra

    try:
        node: object = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    line = None
    for part in place:
        found = _child(node, part)
        if found is None:
            break
        node, line = found
    return line


def _child(node: object, part: str | int) -> tuple[object, int] | None:
    import yaml  # noqa: PLC0415 - likewise

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    return None
