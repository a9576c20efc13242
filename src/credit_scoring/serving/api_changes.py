"""What a new description of the API would break for those who call it as the old one says."""

from collections.abc import Iterator, Mapping
from typing import Any

_METHODS = ("get", "put", "post", "delete", "patch")

Schema = Mapping[str, Any]


def breaking_changes(before: Schema, after: Schema) -> list[str]:
    """Return what callers of ``before`` would stumble over in ``after``, both OpenAPI documents; none when nothing.

    That is: a route that is gone, a field or parameter that became required, a field that is taken no more, and a
    field that is answered no more. Within one major version of the API there must be none.
    """
    found: list[str] = []
    for route, operation in _operations(before).items():
        now = _operations(after).get(route)
        if now is None:
            found.append(f"{route} is gone")
            continue
        found += [f"{route} requires {name}" for name in _required_parameters(now) - _required_parameters(operation)]
        asked = _fields(before, operation.get("requestBody")), _fields(after, now.get("requestBody"))
        found += [f"{route} requires {name}" for name in sorted(_required(asked[1]) - _required(asked[0]))]
        found += [f"{route} takes no {name} any more" for name in sorted(set(asked[0]) - set(asked[1]))]
        told = _fields(before, _answer(operation)), _fields(after, _answer(now))
        found += [f"{route} answers no {name} any more" for name in sorted(set(told[0]) - set(told[1]))]
    return found


def _operations(described: Schema) -> dict[str, Schema]:
    return {
        f"{method.upper()} {path}": item[method]
        for path, item in described["paths"].items()
        for method in _METHODS
        if method in item
    }


def _required_parameters(operation: Schema) -> set[str]:
    return {f"parameter {one['name']}" for one in operation.get("parameters", ()) if one.get("required")}


def _answer(operation: Schema) -> Any:
    answers = operation.get("responses", {})
    return next((answers[status] for status in sorted(answers) if status.startswith("2")), None)


def _required(fields: Mapping[str, bool]) -> set[str]:
    return {name for name, required in fields.items() if required}


def _fields(described: Schema, content: Any) -> dict[str, bool]:
    """Every field by its path, and whether it has to be sent where the object that holds it is."""
    schema = ((content or {}).get("content") or {}).get("application/json", {}).get("schema")
    return dict(_walk(described, schema, "", ())) if schema else {}


def _walk(described: Schema, schema: Schema, path: str, seen: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    reference = schema.get("$ref")
    if reference is not None:
        if reference not in seen:
            name = reference.rpartition("/")[2]
            yield from _walk(described, described["components"]["schemas"][name], path, (*seen, reference))
        return
    for part in (*schema.get("anyOf", ()), *schema.get("allOf", ()), *schema.get("oneOf", ())):
        yield from _walk(described, part, path, seen)
    if isinstance(schema.get("items"), dict):
        yield from _walk(described, schema["items"], f"{path}/*", seen)
    for name, field in schema.get("properties", {}).items():
        yield f"{path}/{name}", name in schema.get("required", ())
        yield from _walk(described, field, f"{path}/{name}", seen)
