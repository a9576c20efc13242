"""Features that YAML cannot say: the functions of a portfolio's ``features.py``.

The file is the user's own code and is executed with all rights of the process; nothing here is a sandbox. What is
checked is what keeps a feature a feature: plain functions of named columns, and no imports that another process,
such as the service, may lack.
"""

import ast
import hashlib
import inspect
import linecache
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import narwhals as nw

from credit_scoring.core.errors import DeclarationError, FeatureFunctionError, MissingFunctionError
from credit_scoring.core.features.declared import PythonFunction

FEATURES_FILE = "features.py"
"""Name of the file beside ``portfolio.yml``, and among a bundle's files."""

IMPORTABLE = ("__future__", "datetime", "math", "narwhals")
"""What a ``features.py`` may import: what every process that computes features has, and nothing that varies."""

FeatureFunction = Callable[..., nw.Expr]


@dataclass(frozen=True, slots=True)
class LoadedSource:
    """An executed ``features.py``: its text, the digest that names it, and its public functions by name."""

    text: str
    digest: str
    functions: Mapping[str, FeatureFunction]


_LOADED: dict[str, LoadedSource] = {}
_LOADING = threading.Lock()


def source_digest(source: str) -> str:
    """Return the SHA-256 that names ``source``; the kind of its line ends does not count."""
    return hashlib.sha256(_normal(source).encode()).hexdigest()


def load_functions(source: str, where: str = FEATURES_FILE) -> LoadedSource:
    """Execute ``source`` once per process and keep its functions under its digest.

    Args:
        source: The text of a ``features.py``.
        where: Names it in errors and tracebacks.

    Raises:
        DeclarationError: If it is no Python, fails when executed, imports what it may not, or holds a public
            function that is not made of named columns alone.
    """
    text, digest = _normal(source), source_digest(source)
    with _LOADING:
        if digest not in _LOADED:
            _LOADED[digest] = LoadedSource(text, digest, MappingProxyType(_executed(text, digest, where)))
        return _LOADED[digest]


def python_declarations(source: str, where: str = FEATURES_FILE) -> dict[str, PythonFunction]:
    """Load ``source`` and return what to declare for each of its public functions; raises as ``load_functions``."""
    loaded = load_functions(source, where)
    return {
        name: PythonFunction(reads=tuple(inspect.signature(function).parameters), source=loaded.digest)
        for name, function in loaded.functions.items()
    }


def loaded_source(feature: str, declared: PythonFunction) -> LoadedSource:
    """Return the loaded file that holds the function of ``feature``.

    Raises:
        MissingFunctionError: If it is not loaded, or has no such function.
    """
    loaded = _LOADED.get(declared.source)
    if loaded is None or feature not in loaded.functions:
        raise MissingFunctionError(feature, declared.source)
    return loaded


def function_value(feature: str, declared: PythonFunction, arguments: Mapping[str, nw.Expr]) -> nw.Expr:
    """Return the float64 expression of a Python feature; what is not finite is missing.

    Raises:
        MissingFunctionError: If the function is not loaded.
        FeatureFunctionError: If it fails, or returns no expression.
    """
    function = loaded_source(feature, declared).functions[feature]
    try:
        value = function(**arguments)
    except Exception as exc:
        raise FeatureFunctionError(
            f"The function '{feature}' of '{FEATURES_FILE}' failed{_line(exc, declared.source)}: {type(exc).__name__}: "
            f"{exc}. Its arguments are Narwhals expressions, one per column; correct the function."
        ) from exc
    if not isinstance(value, nw.Expr):
        raise FeatureFunctionError(
            f"The function '{feature}' of '{FEATURES_FILE}' returns {type(value).__name__}. It must return a Narwhals "
            f"expression made of its arguments, such as 'nw.when(amount > 0).then(amount.log())'."
        )
    return finite(value.cast(nw.Float64))


def failed_on_values(feature: str, declared: PythonFunction, exc: Exception) -> FeatureFunctionError:
    """Return what to raise when an engine could not compute a function; it quotes no values, as engines do."""
    return FeatureFunctionError(
        f"The function '{feature}' of '{FEATURES_FILE}' failed on the values it was given: {type(exc).__name__}. Look "
        f"at the types of its arguments {list(declared.reads)}, any of which may be missing."
    )


def finite(value: nw.Expr) -> nw.Expr:
    """Return ``value`` where it is a finite number; missing elsewhere, so that no engine tells NaN from missing."""
    return nw.when(value.is_finite()).then(value)


def _normal(source: str) -> str:
    return source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _executed(text: str, digest: str, where: str) -> dict[str, FeatureFunction]:
    filename = _filename(digest)
    try:
        tree = ast.parse(text, filename)
    except (SyntaxError, ValueError) as exc:
        line = getattr(exc, "lineno", None)
        raise DeclarationError(f"'{where}'{f', line {line}' if line else ''}: is no Python: {exc}.") from exc
    for node in ast.walk(tree):
        _check_import(node, where)
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    namespace: dict[str, object] = {"__name__": f"features_{digest[:12]}"}
    try:
        exec(compile(tree, filename, "exec"), namespace)  # noqa: S102 - the portfolio's own code, see above
    except Exception as exc:
        raise DeclarationError(f"'{where}'{_line(exc, digest)}: {type(exc).__name__}: {exc}. Correct it.") from exc
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: _checked(node, namespace, where) for node in defined if not node.name.startswith("_")}


def _check_import(node: ast.AST, where: str) -> None:
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = [node.module or "."]
    else:
        return
    for module in modules:
        if module.partition(".")[0] not in IMPORTABLE:
            raise DeclarationError(
                f"'{where}', line {node.lineno}: imports '{module}', which the service may not have. A feature is made "
                f"of Narwhals expressions; it may import {', '.join(IMPORTABLE)}."
            )


def _checked(
    node: ast.FunctionDef | ast.AsyncFunctionDef, namespace: Mapping[str, object], where: str
) -> FeatureFunction:
    function = namespace.get(node.name)
    if isinstance(node, ast.AsyncFunctionDef) or not inspect.isfunction(function):
        raise DeclarationError(f"'{where}', line {node.lineno}: '{node.name}' must be a plain function.")
    parameters = inspect.signature(function).parameters.values()
    plain = all(p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty for p in parameters)
    if not parameters or not plain:
        raise DeclarationError(
            f"'{where}', line {node.lineno}: the arguments of '{node.name}' must be one or more columns it reads, by "
            f"name, without defaults or stars. Begin the name with an underscore if it is no feature."
        )
    return function


def _filename(digest: str) -> str:
    return f"<{FEATURES_FILE} {digest[:12]}>"


def _line(exc: Exception, digest: str) -> str:
    """Where in the file an error arose, as words to put into a message."""
    line, trace = None, exc.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _filename(digest):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""
