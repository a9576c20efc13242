"""Finds the kernels' machine code on disk, or has it compiled, and loads it.

The code is made ahead by numba and loaded by llvmlite alone, so that a process that explains imports no compiler: a
sixth of the time and half of the memory. A file holds all kernels for one level of a processor family (``x86-64``,
``x86-64-v3``), so that what was built on one machine runs on another: the best level that the processor has is taken,
and the lowest runs on all of the family. A file counts only when it was made from these very sources and its digest
holds; any other is as if it were absent.

Looked at, in order: ``build/`` beside this file, which ships inside a Bento; the user's cache. What had to be compiled
is kept in the first of them that can be written, or in memory alone.
"""

import ctypes
import hashlib
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from table_treeshap.kernels import SIGNATURES

_LOG = logging.getLogger(__name__)
_PACKAGE = Path(__file__).resolve().parent

SHIPPED = _PACKAGE / "build"
"""Where the files lie that are shipped with the sources."""
COMPILING_MAY_TAKE_S = 300
_LEVELS = {
    "x86_64": {
        "x86-64-v3": ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"),
        "x86-64": (),
    }
}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_TYPES: dict[str, Any] = {"i64": ctypes.c_int64, "f64": ctypes.c_double}

Kernel = Callable[..., Any]


class CompilationError(RuntimeError):
    """The kernels could not be compiled here; the message says why."""


@dataclass(frozen=True)
class CompiledKernel:
    """One kernel's machine code."""

    name: str
    symbol: str
    object_code: bytes


@dataclass(frozen=True)
class Kernels:
    """The kernels, callable with addresses and numbers.

    Those in ``released`` let other threads run meanwhile. Those in ``held`` do not: what takes microseconds is over
    before another thread could hand the interpreter back.
    """

    released: dict[str, Kernel]
    held: dict[str, Kernel]
    level: str
    compiled_now: bool
    """Whether this process had to have them compiled."""


def machine() -> str:
    """Return the processor's family as the files name it."""
    name = platform.machine().lower()
    return _MACHINES.get(name, name)


def levels() -> tuple[str, ...]:
    """Return the levels of this family, best first; all of them are shipped."""
    return tuple(_LEVELS.get(machine(), {"generic": ()}))


def best_level() -> str:
    """Return the best level that this very processor has."""
    from llvmlite import binding  # noqa: PLC0415 - loads LLVM, which only explaining needs

    features = binding.get_host_cpu_features()
    wanted = _LEVELS.get(machine(), {"generic": ()})
    return next(level for level, needed in wanted.items() if all(features.get(name, False) for name in needed))


def file_name(level: str) -> str:
    """Return the name of a level's file for this operating system and family."""
    return f"{platform.system().lower()}-{machine()}-{level}.kernels"


@cache
def source_digest() -> str:
    """Return the digest of the sources that decide what the code does."""
    digest = hashlib.sha256()
    for name in ("kernels.py", "compilation.py", "compiled_code.py"):
        digest.update((_PACKAGE / name).read_bytes())
    return digest.hexdigest()


def packed(level: str, compiled: Sequence[CompiledKernel]) -> bytes:
    """Return the contents of a file: one line that says what follows, then the objects."""
    body = b"".join(kernel.object_code for kernel in compiled)
    says = {
        "source": source_digest(),
        "level": level,
        "body": hashlib.sha256(body).hexdigest(),
        "kernels": [[kernel.name, kernel.symbol, len(kernel.object_code)] for kernel in compiled],
    }
    return json.dumps(says).encode() + b"\n" + body


def unpacked(data: bytes, level: str) -> list[CompiledKernel]:
    """Return the kernels of a file.

    Raises:
        ValueError: If it is damaged, or made from other sources or for another level.
    """
    head, _, body = data.partition(b"\n")
    try:
        says = json.loads(head)
    except ValueError as exc:
        raise ValueError("its first line is not what was written") from exc
    try:
        if says["source"] != source_digest() or says["level"] != level:
            raise ValueError("it was made from other sources or for another level")
        if says["body"] != hashlib.sha256(body).hexdigest():
            raise ValueError("its code is not what was written")
        found, at = [], 0
        for name, symbol, size in says["kernels"]:
            found.append(CompiledKernel(name, symbol, body[at : at + size]))
            at += size
    except (KeyError, TypeError) as exc:
        raise ValueError("its first line is not what was written") from exc
    return found


def places() -> tuple[Path, ...]:
    """Return the folders that are looked at, in order; ``TABLE_TREESHAP_CACHE`` stands for the user's cache."""
    own = os.environ.get("TABLE_TREESHAP_CACHE")
    cache_home = os.environ.get("XDG_CACHE_HOME")
    if own:
        return SHIPPED, Path(own)
    home = Path(cache_home) if cache_home else Path(os.path.expanduser("~")) / ".cache"
    return SHIPPED, home / "table_treeshap"


def compiled_files(folder: Path = SHIPPED) -> list[Path]:
    """Make sure that ``folder`` has the code for every level of this family, and return the files.

    Raises:
        CompilationError: If numba is missing or fails.
        OSError: If the folder cannot be written.
    """
    targets = [folder / file_name(level) for level in levels()]
    for level, target in zip(levels(), targets, strict=True):
        if _read(target, level) is None:
            _write(target, _from_places(level) or _compiled_elsewhere(level))
    return targets


_LOCK = threading.Lock()
_LOADED: list[Kernels] = []


def kernels() -> Kernels:
    """Return the kernels for this processor, loaded once per process.

    Raises:
        CompilationError: If no file has them and they cannot be compiled.
    """
    with _LOCK:
        if not _LOADED:
            _LOADED.append(_load())
        return _LOADED[0]


def _load() -> Kernels:
    level = best_level()
    data = _from_places(level)
    compiled_now = data is None
    if data is None:
        data = _compiled_elsewhere(level)
        _keep(file_name(level), data)
    return _linked(unpacked(data, level), level, compiled_now=compiled_now)


def _from_places(level: str) -> bytes | None:
    return next(filter(None, (_read(place / file_name(level), level) for place in places())), None)


def _keep(name: str, data: bytes) -> None:
    for place in places():
        try:
            _write(place / name, data)
        except OSError:
            continue
        return
    _LOG.warning("No folder for compiled code can be written: every start of this program will compile it again.")


def _read(path: Path, level: str) -> bytes | None:
    """Return a file's contents, or None if it is absent or of no use."""
    try:
        data = path.read_bytes()
        unpacked(data, level)
    except OSError:
        return None
    except ValueError as exc:
        _LOG.info("The compiled code in '%s' is of no use: %s.", path, exc)
        return None
    return data


def _write(path: Path, data: bytes) -> None:
    """Write a file in one step, so that another process reads all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        file.write(data)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def _compiled_elsewhere(level: str) -> bytes:
    """Have another process compile; this one would keep the compiler's memory."""
    _LOG.info("Compiling table TreeSHAP for %s, which takes some seconds.", level)
    paths = [str(_PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        told = subprocess.run(  # noqa: S603 - this very package
            [sys.executable, "-P", "-m", "table_treeshap.compilation", level],
            capture_output=True,
            check=False,
            timeout=COMPILING_MAY_TAKE_S,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CompilationError(f"Table TreeSHAP's kernels could not be compiled: {exc}.") from exc
    if told.returncode:
        reason = told.stderr.decode(errors="replace").strip().rpartition("\n")[2][-500:]
        raise CompilationError(f"Table TreeSHAP's kernels could not be compiled: {reason}. Is numba installed?")
    return told.stdout


def _linked(compiled: Sequence[CompiledKernel], level: str, *, compiled_now: bool) -> Kernels:
    from llvmlite import binding  # noqa: PLC0415 - loads LLVM, which only explaining needs

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple().create_target_machine()
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target)
    for kernel in compiled:
        engine.add_object_file(binding.ObjectFileRef.from_data(kernel.object_code))
    engine.finalize_object()
    _ENGINES.append(engine)
    addresses = {kernel.name: engine.get_function_address(kernel.symbol) for kernel in compiled}
    return Kernels(
        released={name: _callable(ctypes.CFUNCTYPE, name, at) for name, at in addresses.items()},
        held={name: _callable(ctypes.PYFUNCTYPE, name, at) for name, at in addresses.items()},
        level=level,
        compiled_now=compiled_now,
    )


def _callable(convention: Any, name: str, address: int) -> Kernel:
    """Return the function at an address, called as numba calls its own: two places for results come first.

    A kernel returns nothing and raises nothing, and all that it ever writes to them is zero.
    """
    kinds = [_TYPES.get(kind, ctypes.c_void_p) for kind in SIGNATURES[name].split()]
    call = convention(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *kinds)(address)
    return partial(call, ctypes.addressof(_RESULT), ctypes.addressof(_RAISED))


_RESULT, _RAISED = ctypes.c_int64(), ctypes.c_int64()
_ENGINES: list[Any] = []  # an engine that is let go takes its code with it
