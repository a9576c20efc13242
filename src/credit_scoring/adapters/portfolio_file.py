"""Reads a portfolio declaration; every fault is told with file, line, key and what is allowed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from credit_scoring.core.declaration_checks import declaration_problems
from credit_scoring.core.errors import DeclarationError, nearest
from credit_scoring.core.features.declared import PythonFunction
from credit_scoring.core.features.python_functions import FEATURES_FILE, python_declarations
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.problems import Problem

Key = tuple[str, ...]

_NEVER_WRITTEN = ("one_of", "float", "date")
"""Last parts of Pydantic's paths where a declaration may have a plain value: one of several types, or a list."""

_DEEPEST = 50
_MOST_KEYS = 100_000
"""No declaration comes near these; a file that goes beyond is broken, or meant to exhaust the reader."""


def read_portfolio(path: Path) -> Portfolio:
    """Return the declaration in ``path``, checked as a whole; its directory has the portfolio's name.

    Raises:
        DeclarationError: If the file is absent, is not YAML, its content is not a valid declaration, or it
            names another portfolio than its directory.
    """
    functions_file = path.with_name(FEATURES_FILE)
    functions = python_declarations(_read(functions_file), str(functions_file)) if functions_file.exists() else {}
    return parse_portfolio(_read(path), str(path), expected_name=path.parent.name, functions=functions)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise DeclarationError(f"No portfolio declaration at '{path}': {exc.strerror}. Create the file.") from exc
    except UnicodeDecodeError as exc:
        raise DeclarationError(f"'{path}' is not UTF-8 text (byte {exc.start}). Save it as UTF-8.") from exc


def parse_portfolio(
    text: str,
    source: str,
    expected_name: str | None = None,
    functions: Mapping[str, PythonFunction] = MappingProxyType({}),
) -> Portfolio:
    """Return the declaration in ``text``; ``source`` names it in errors. Raises as ``read_portfolio``.

    ``functions`` are those of the portfolio's ``features.py``, by name.
    """
    try:
        content, lines = _read_yaml(text, source)
    except yaml.YAMLError as exc:
        raise DeclarationError(f"{source} is not valid YAML: {_yaml_fault(exc)}") from exc
    except RecursionError as exc:
        raise DeclarationError(f"{source} is nested more than {_DEEPEST} levels deep. Flatten it.") from exc
    try:
        portfolio = Portfolio.model_validate(_with_functions(content, functions))
    except ValidationError as exc:
        raise DeclarationError(_told(source, _one_per_place(exc, lines), lines)) from exc
    problems = [*declaration_problems(portfolio), *_unused_functions(portfolio, functions)]
    if expected_name not in (None, portfolio.name):
        problems.append(
            Problem(("name",), f"is '{portfolio.name}' in the directory '{expected_name}'; make them equal.")
        )
    if problems:
        raise DeclarationError(_told(source, problems, lines))
    return portfolio


def _with_functions(content: Any, functions: Mapping[str, PythonFunction]) -> Any:
    """Put the function that it names in place of each ``python: true``."""
    features = content.get("features")
    for name, feature in features.items() if isinstance(features, dict) else ():
        if isinstance(feature, dict) and feature.get("python") is True and name in functions:
            feature["python"] = functions[name]
    return content


def _unused_functions(portfolio: Portfolio, functions: Mapping[str, PythonFunction]) -> list[Problem]:
    used = {name for name, feature in portfolio.features.items() if feature.python is not None}
    told = "is a function of '{}' that no feature names; declare '{}: {{python: true}}', or begin its name with '_'."
    return [Problem(("features", name), told.format(FEATURES_FILE, name)) for name in functions if name not in used]


class _PlainLoader(yaml.SafeLoader):
    """YAML with ``true`` and ``false`` as the only booleans, so that ``no`` and ``on`` stay words."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return a node's value; what looks like a date or number and is none is a fault with a place."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError, TypeError) as exc:
            kind = node.tag.rpartition(":")[2]
            problem = f"'{node.value!s:.40}' cannot be read as {kind}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from exc


_PLAIN_SCALARS = {
    "bool": ("^(true|false)$", "tf"),
    "int": (r"^[-+]?(0|[1-9][0-9]*)$", "-+0123456789"),
    "float": (
        r"^[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?|\.[0-9]+|\.(inf|Inf|INF|nan|NaN|NAN))$",
        "-+.0123456789",
    ),
}
"""What is a boolean or a number; a code such as 01, an octal number to YAML 1.1, stays the text it is."""

_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in _PLAIN_SCALARS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, (_pattern, _first) in _PLAIN_SCALARS.items():
    _PlainLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), list(_first))


def _read_yaml(text: str, source: str) -> tuple[Any, dict[Key, int]]:
    """Return the content of ``text`` and the line of each of its keys."""
    root = yaml.compose(text, Loader=_PlainLoader)
    if not isinstance(root, yaml.MappingNode):
        raise DeclarationError(f"{source} must be a mapping of keys such as 'name' and 'features'.")
    lines: dict[Key, int] = {}
    _note_lines(root, (), lines, source)
    return _PlainLoader("").construct_document(root), lines


def _note_lines(node: yaml.Node, at: Key, lines: dict[Key, int], source: str) -> None:
    """Note the line of each key, and refuse a key given twice: YAML would keep the last in silence.

    Aliases are followed, so that one that repeats itself, or many that multiply, end here.
    """
    if len(at) > _DEEPEST:
        raise DeclarationError(f"{source} is nested more than {_DEEPEST} levels deep. Flatten it.")
    if len(lines) > _MOST_KEYS:
        raise DeclarationError(f"{source} has more than {_MOST_KEYS:,} keys, aliases included. Shorten it.")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = (*at, str(key.value))
            line = key.start_mark.line + 1
            if path in lines:
                raise DeclarationError(
                    f"{source}, line {line}: '{'.'.join(path)}' is given twice (first on line {lines[path]}). "
                    f"Remove one."
                )
            lines[path] = line
            _note_lines(value, path, lines, source)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            path = (*at, str(position))
            lines[path] = value.start_mark.line + 1
            _note_lines(value, path, lines, source)


def _told(source: str, problems: Sequence[Problem], lines: dict[Key, int]) -> str:
    placed = sorted(((_line_of(p.path, lines), p) for p in problems), key=lambda found: found[0])
    return "\n".join(f"{source}, line {line}: '{'.'.join(p.path)}' {p.message}" for line, p in placed)


def _line_of(path: Key, lines: dict[Key, int]) -> int:
    path = _as_written(path, lines)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _one_per_place(exc: ValidationError, lines: dict[Key, int]) -> list[Problem]:
    """Return what Pydantic found, once per place: of a value that may have several types it tells each."""
    problems: dict[Key, Problem] = {}
    for error in exc.errors(include_url=False):
        problem = _as_problem(error)
        path = _in_file(problem.path, lines)
        problems.setdefault(path, replace(problem, path=path))
    return list(problems.values())


def _in_file(path: Key, lines: dict[Key, int]) -> Key:
    """Return ``path`` without the part that Pydantic adds for one of several types, if there is one."""
    if path in lines:
        return path
    shortened = (path[:part] + path[part + 1 :] for part in range(len(path) - 1, 0, -1))
    absent_key = path[:-1] if path[-1] not in _NEVER_WRITTEN else None
    return next((candidate for candidate in shortened if candidate in lines and candidate != absent_key), path)


def _as_written(path: Key, lines: dict[Key, int]) -> Key:
    """Return the place in the file of a feature that a family of windows made: that of the family."""
    if path[:1] == ("features",) and len(path) > 1 and path[:2] not in lines:
        families = [key for key in lines if len(key) == 2 and key[0] == "features" and path[1].startswith(key[1] + "_")]
        return max(families, key=lambda key: len(key[1]), default=path)
    return path


def _as_problem(error: Any) -> Problem:
    """Word a Pydantic error as a fault of the file; values of the file may be shown, they are no applicant's."""
    path = tuple(str(part) for part in error["loc"] if part != "[key]")
    kind = error["type"]
    if kind == "extra_forbidden":
        allowed = _keys_allowed(path[:-1])
        return Problem(path, f"is not a known key.{nearest(path[-1], allowed)} Allowed: {', '.join(allowed)}.")
    if kind == "missing":
        return Problem(path, "is required and absent. Add it.")
    if kind == "literal_error":
        allowed = [part.strip(" '") for part in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        word = str(error["input"])
        return Problem(path, f"is '{word}'.{nearest(word, allowed)} Allowed: {', '.join(allowed)}.")
    message = error["msg"].removeprefix("Value error, ")
    return Problem(path, f"{message[0].lower()}{message[1:]} (given: {error['input']!r:.60}).")


def _keys_allowed(path: Key) -> list[str]:
    """Return the keys that the declaration's model at ``path`` knows."""
    model: Any = Portfolio
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(part)
            model = field.annotation if field else None
        else:
            model = _value_type(model)
        model = _without_none(model)
    if isinstance(model, type) and issubclass(model, BaseModel):
        return list(model.model_fields)
    return []


def _value_type(annotation: Any) -> Any:
    """Return what a mapping or sequence holds."""
    arguments = [a for a in get_args(annotation) if a is not Ellipsis]
    return arguments[-1] if arguments else None


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (None, Literal, dict, tuple, list):
        return annotation
    given = [a for a in get_args(annotation) if a is not type(None)]
    return given[0] if given else annotation


def _yaml_fault(exc: yaml.YAMLError) -> str:
    mark = getattr(exc, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}{getattr(exc, 'problem', None) or exc}. Correct the indentation or quoting there."
