"""Where in a YAML file a setting stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence


def line_of(text: str, place: Sequence[str | int]) -> int | None:
    """Find the line of a setting, from 1; None if its first part is not in the file.

    Args:
        text: YAML.
        place: The names and indices that lead to the setting. Those that the file does not have, such as a
            setting that is missing, end the search: the line is that of what should hold them.
    """
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = None
    for part in place:
        found = _step(node, part)
        if found is None:
            break
        key, node = found
        line = key.start_mark.line + 1
    return line


def _step(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Go one step into `node`; give the node that names the next one, and that one."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None
