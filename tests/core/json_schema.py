"""A checker for the part of JSON Schema (2020-12) that records use; it refuses any other keyword."""

import re

TYPES = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "null": type(None),
    "number": (int, float),
    "object": dict,
    "string": str,
}
IGNORED = {"$defs", "default", "description", "title", "discriminator"}


def problems(value, schema, root=None, place="$"):
    """What of a JSON tree does not obey a schema."""
    root = schema if root is None else root
    return [
        found
        for keyword, rule in schema.items()
        if keyword not in IGNORED
        for found in CHECKS[keyword](value, rule, schema, root, place)
    ]


def _reference(value, rule, schema, root, place):
    name = re.fullmatch(r"#/\$defs/(.+)", rule).group(1)
    return problems(value, root["$defs"][name], root, place)


def _type(value, rule, schema, root, place):
    right = isinstance(value, TYPES[rule]) and (rule == "boolean" or not isinstance(value, bool))
    return [] if right else [f"{place}: {value!r:.40} is no {rule}"]


def _any_of(value, rule, schema, root, place):
    tried = [problems(value, one, root, place) for one in rule]
    return [] if [] in tried else [f"{place}: none of {len(rule)} forms: {min(tried, key=len)}"]


def _properties(value, rule, schema, root, place):
    if not isinstance(value, dict):
        return []
    pairs = [(name, one) for name, one in rule.items() if name in value]
    return [p for name, one in pairs for p in problems(value[name], one, root, f"{place}.{name}")]


def _others(value, rule, schema, root, place):
    others = [] if not isinstance(value, dict) else set(value) - set(schema.get("properties", ()))
    if rule is False:
        return [f"{place}: unknown field {name!r}" for name in others]
    if rule is True:
        return []
    return [p for name in others for p in problems(value[name], rule, root, f"{place}.{name}")]


def _items(value, rule, schema, root, place):
    rest = value[len(schema.get("prefixItems", ())) :] if isinstance(value, list) else []
    if rule is False:
        return [f"{place}: {len(rest)} entries too many"] if rest else []
    return [p for i, one in enumerate(rest) for p in problems(one, rule, root, f"{place}[{i}]")]


def _first_items(value, rule, schema, root, place):
    pairs = list(zip(value, rule, strict=False)) if isinstance(value, list) else []
    return [p for i, (v, one) in enumerate(pairs) for p in problems(v, one, root, f"{place}[{i}]")]


def _held(right, place, says):
    return [] if right else [f"{place}: {says}"]


CHECKS = {
    "$ref": _reference,
    "type": _type,
    "anyOf": _any_of,
    "oneOf": _any_of,
    "properties": _properties,
    "additionalProperties": _others,
    "items": _items,
    "prefixItems": _first_items,
    "required": lambda v, rule, s, r, place: [
        f"{place}: no {name!r}" for name in rule if isinstance(v, dict) and name not in v
    ],
    "enum": lambda v, rule, s, r, place: _held(v in rule, place, f"{v!r:.40} is not in {rule}"),
    "const": lambda v, rule, s, r, place: _held(v == rule, place, f"{v!r:.40} is not {rule!r}"),
    "minimum": lambda v, rule, s, r, place: _held(v >= rule, place, f"{v} is below {rule}"),
    "minItems": lambda v, rule, s, r, place: _held(len(v) >= rule, place, "too few entries"),
    "maxItems": lambda v, rule, s, r, place: _held(len(v) <= rule, place, "too many entries"),
    "uniqueItems": lambda v, rule, s, r, place: _held(len(v) == len(set(v)), place, "repeats"),
}
