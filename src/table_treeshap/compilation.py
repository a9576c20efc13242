"""Compiles the kernels with numba for one level of a processor family; a process of its own does it.

``python -P -m table_treeshap.compilation LEVEL`` writes to its standard output what ``compiled_code`` keeps. numba sets
the processor per process, and its compiler takes memory for good: neither may happen where models are served.
"""

import os
import sys
from typing import Any

from table_treeshap import kernels
from table_treeshap.compiled_code import CompiledKernel, packed


def compile_for(level: str) -> bytes:
    """Return the packed kernels for a level, such as ``x86-64-v3``; all kernels are compiled for it alone."""
    from numba import config, njit  # noqa: PLC0415 - takes memory, and only this process needs it

    vars(config).update(CPU_NAME=level, CPU_FEATURES="")
    for name in kernels.HELPERS:
        setattr(kernels, name, njit(error_model="numpy")(getattr(kernels, name)))
    return packed(level, [_compiled(name, signature) for name, signature in kernels.SIGNATURES.items()])


def _compiled(name: str, signature: str) -> CompiledKernel:
    from numba import njit, types  # noqa: PLC0415 - see above

    pointer: Any = types.CPointer

    plain = {"i64": types.int64, "f64": types.float64, "f32": types.float32, "i32": types.int32}
    plain |= {"u8": types.uint8, "u16": types.uint16}
    kinds = tuple(pointer(plain[kind[:-1]]) if kind[-1] == "*" else plain[kind] for kind in signature.split())
    # Without the wrappers for Python and C, the code needs nothing of Python and nothing of numba.
    alone: dict[str, Any] = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    made: Any = njit(types.void(*kinds), **alone)(getattr(kernels, name)).overloads[kinds]
    return CompiledKernel(name, made.fndesc.llvm_func_name, made.library._get_compiled_object())


def main() -> None:
    """Write the kernels for the level that is asked for."""
    made = compile_for(sys.argv[1])
    with os.fdopen(sys.stdout.fileno(), "wb", closefd=False) as out:
        out.write(made)


if __name__ == "__main__":
    main()
