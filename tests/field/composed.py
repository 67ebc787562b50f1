"""The values of a YAML text as ruamel.yaml sees them: an independent parser.

It stops at the composed nodes: those still have their texts, tags and marks, which Python's values have not.
"""

import re
import warnings

from ruamel.yaml import YAML
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, SequenceNode

KINDS = {"int": "number", "float": "number", "bool": "bool", "null": "null"}  # YAML 1.2 has no dates


class Refused(Exception):
    pass


def name_of(key, source, seen):
    """A key that is no scalar is called by its source; one that is an alias, by what stands there, which no node tells (None)."""
    if id(key) in seen:
        return None
    for _ in walk(key, (), source, seen):
        pass  # what is inside was seen, too
    if isinstance(key.value, str):
        return key.value
    return re.sub(r"\A&\S+\s", "", source[key.start_mark.index: key.end_mark.index]).strip()


def walk(node, path, source, seen):
    """(path, kind, text, has bytes): what is seen again is an alias, and has no value of its own."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, MappingNode):
        count = {}
        for key, below in node.value:
            name = name_of(key, source, seen)
            count[name] = count.get(name, 0) + 1
            yield from walk(below, (*path, (name, count[name])), source, seen)
    elif isinstance(node, SequenceNode):
        for i, below in enumerate(node.value):
            yield from walk(below, (*path, i), source, seen)
    else:
        kind = KINDS.get(str(node.tag).rpartition("yaml.org,2002:")[2], "string")
        yield path, kind, node.value, node.start_mark.index < node.end_mark.index


def leaves(source):
    """Raises Refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            documents = list(YAML(typ="safe", pure=True).compose_all(source))
    except YAMLError as error:
        raise Refused(str(error)) from None
    return [leaf for i, d in enumerate(documents) if d is not None for leaf in walk(d, (i,), source, set())]


def place(steps):
    """A path of field_dump."""
    return tuple(number if kind in "di" else (name, number) for kind, number, name in steps)


def same_place(found, wanted):
    return len(found) == len(wanted) and all(f == w or (isinstance(w, tuple) and w[0] is None and f[0].startswith("*"))
                                             for f, w in zip(found, wanted))


def difference(found, wanted):
    """What differs, or None.  A value without bytes need not be found: a key that stands alone, an empty document."""
    rest = list(found)
    for path, kind, text, has_bytes in wanted:
        if rest and same_place(rest[0][0], path) and rest[0][1:] == (kind, text):
            rest.pop(0)
        elif has_bytes or text:
            return rest[:1], (path, kind, text)
    return rest or None
