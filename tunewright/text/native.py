"""Compiled loops that are called without numba: their machine code is made by numba once and kept as one file.

    run("count_shingles", shingles, stops, wanted, table)      # the kernel of that name, over these arrays, in place

Importing numba and its first call take 0.5 CPU seconds a process even when its own cache holds the code (half of that is scipy),
more than the join of 100,000 rows. So the loops of `LOOPS` are compiled as C callbacks (`numba.cfunc`), their LLVM code becomes
one object file, and later processes hand that file to llvmlite alone: 0.04 seconds. A loop must stand on its own for that: it
allocates nothing, raises nothing, returns nothing, and gets arrays and numbers only. The file belongs to these sources, this
processor and this llvmlite. Where it cannot be made or kept, numba itself runs the loops, with the same results.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from tunewright.core.optional import require

Array = npt.NDArray[Any]
HERE = Path(__file__).parent
# Module and, for each argument, what it is: an array of (u8: uint64, i4: int32 ...; after a star its second dimension), or a number.
LOOPS: dict[str, tuple[str, str]] = {
    "shingle_rows": ("kernels", "u8 i8 u8 i8 i8 u8 i8 u8*2"),
    "first_with_same": ("kernels", "u8*2 b1 i8 i8"),
    "count_shingles": ("kernels", "u8 i8 b1 u1"),
    "rank_shingles": ("kernels", "u8 i8 b1 u1 i8*2 u8*4 u8 u1 u4 u4 i8"),
    "count_entries": ("kernels_pairs", "float u8 i8 i8*2 u8 i8"),
    "deal_entries": ("kernels_pairs", "float u8 i8 i8*2 u8 i8 u4*4 u8"),
    "all_pairs": ("kernels_pairs", "float u8 i8 i8*2 u8*4 u8 u4*4 i8 i4 u4*4 i4 i4*2 u8 i8 i8 i8*2 f8"),
    "keep_greedily": ("kernels_pairs", "i8 i8 f8 i8 f8"),
    "spanning": ("kernels_pairs", "i8 i8 i8 b1"),
}


class Library:
    """Some loops, and the folders of which the first that can be written to keeps their machine code."""

    def __init__(self, loops: Mapping[str, tuple[str, str]], folders: Sequence[Path] | None = None) -> None:
        self.loops, self._folders = loops, folders
        self._lock, self._engine = Lock(), None

    def run(self, name: str, *given: Array | float) -> None:
        """Call the loop `name`; other threads go on meanwhile."""
        kinds = self.loops[name][1].split()
        assert len(kinds) == len(given), f"{name} takes {len(kinds)} arguments"
        for place, (kind, one) in enumerate(zip(kinds, given, strict=True)):
            assert _is(one, kind), f"{name}: argument {place} is no {kind}"
        with self._lock:
            call = self.functions[name]
        call(*given)

    @cached_property
    def functions(self) -> dict[str, Callable[..., None]]:
        """The loops: from the file of an earlier process, else made now, else numba's own."""
        paths = self.paths()
        machine = next((one for one in map(_opened, paths) if one is not None), None)
        if machine is None and (path := next(filter(_can_be_written, paths), None)) is not None:
            machine = b""  # which says that it cannot be made here
            with suppress(Exception):  # a test demands it where it runs
                machine = machine_code({name: _callback(*one, name) for name, one in self.loops.items()})
            _keep(machine, path)
        if machine:
            with suppress(Exception):  # of another llvmlite than it seems
                return {name: _caller(address) for name, address in self._loaded(machine).items()}
        return {name: _kernel(module, name) for name, (module, _) in self.loops.items()}

    def paths(self) -> list[Path]:
        """Where the file may lie: where numba is told to keep its code, else beside the sources or in the user's cache."""
        binding = require("llvmlite.binding", "audit")
        processor = platform.machine(), binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
        sources = sorted({"native", *(module for module, _ in self.loops.values())})
        texts = [(HERE / f"{module}.py").read_bytes() for module in sources]
        told = *processor, require("llvmlite", "audit").__version__, *self.loops
        number = sha256(b"\0".join([*texts, *(one.encode() for one in told)])).hexdigest()[:16]
        return [folder / f"loops-{number}.bin" for folder in self._folders or _usual_folders()]

    def _loaded(self, machine: bytes) -> dict[str, int]:
        """The addresses of the loops of an object file."""
        binding = require("llvmlite.binding", "audit")
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        target = binding.Target.from_default_triple().create_target_machine(codemodel="jitdefault", jit=True)
        engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target)
        engine.add_object_file(binding.ObjectFileRef.from_data(machine))
        engine.finalize_object()
        self._engine = engine  # which holds the code
        return {name: engine.get_function_address(_symbol(name)) for name in self.loops}


def machine_code(callbacks: Mapping[str, Any]) -> bytes:
    """All loops as one object file. Raises ValueError when one of them needs numba's runtime, or Python."""
    binding = require("llvmlite.binding", "audit")
    target = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3, codemodel="jitdefault", jit=True
    )
    whole = binding.parse_assembly("")
    for name, callback in callbacks.items():
        module = binding.parse_assembly(callback.inspect_llvm().replace(callback.native_name, _symbol(name)))
        for one in (*module.functions, *module.global_variables):
            if not one.is_declaration and one.name != _symbol(name):
                one.linkage = "internal"
        whole.link_in(module)
    builder = binding.create_pass_builder(target, binding.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(whole, builder)  # a callback that cannot raise loses the code that would report it
    foreign = [one.name for one in (*whole.functions, *whole.global_variables) if one.is_declaration and not one.name.startswith("llvm.")]
    if foreign:
        raise ValueError(f"these loops cannot stand alone, for they need {', '.join(foreign)}: {', '.join(callbacks)}")
    machine: bytes = target.emit_object(whole)
    return machine


def _is(one: Array | float, kind: str) -> bool:
    """Whether an argument is what `LOOPS` says."""
    if not isinstance(one, np.ndarray):
        return kind == "float"
    item, _, width = kind.partition("*")
    right = kind != "float" and one.dtype == np.dtype(item) and one.shape[1:] == ((int(width),) if width else ())
    return right and one.flags.c_contiguous


def _caller(address: int) -> Callable[..., None]:
    """The C callback at `address` as a function of arrays and numbers."""
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(address)

    def caller(*given: Array | float) -> None:
        arrays, lengths, numbers = ((kind * len(given))() for kind in (ctypes.c_void_p, ctypes.c_int64, ctypes.c_double))
        for place, one in enumerate(given):
            if isinstance(one, np.ndarray):
                arrays[place], lengths[place] = one.ctypes.data, len(one)
            else:
                numbers[place] = one
        call(ctypes.addressof(arrays), ctypes.addressof(lengths), ctypes.addressof(numbers))

    return caller


def _kernel(module: str, name: str) -> Callable[..., None]:
    """The loop as numba runs it."""
    function: Callable[..., None] = getattr(import_module(f"tunewright.text.{module}"), name)
    return function


def _symbol(name: str) -> str:
    return f"tunewright_{name}"


def _callback(module: str, kinds: str, name: str) -> Any:
    """The loop as numba's C callback `f(arrays, lengths, numbers)`, each a table with one entry for each argument."""
    numba = require("numba", "audit")
    loop = _kernel(module, name)
    views: Any = _no_views
    for place, kind in enumerate(kinds.split()):
        views = _with_view(numba, views, place, kind)
    views = numba.njit(views, forceinline=True)

    def callback(arrays: Any, lengths: Any, numbers: Any) -> None:
        loop(*views(arrays, lengths, numbers))

    pointer, types = numba.types.CPointer, numba.types
    signature = types.void(pointer(types.voidptr), pointer(types.int64), pointer(types.float64))
    return numba.cfunc(signature, error_model="numpy")(callback)


def _no_views(arrays: Any, lengths: Any, numbers: Any) -> tuple[()]:
    return ()


def _with_view(numba: Any, before: Any, place: int, kind: str) -> Any:
    """What `before` gives and behind it the argument at `place`."""
    before, carray = numba.njit(before, forceinline=True), numba.carray
    if kind == "float":
        return lambda arrays, lengths, numbers: before(arrays, lengths, numbers) + (numbers[place],)  # noqa: RUF005
    item, _, width = kind.partition("*")
    dtype, columns = np.dtype(item).type, int(width or 0)
    if columns:
        return lambda arrays, lengths, numbers: (
            before(arrays, lengths, numbers) + (carray(arrays[place], (lengths[place], columns), dtype),)  # noqa: RUF005
        )
    return lambda arrays, lengths, numbers: before(arrays, lengths, numbers) + (carray(arrays[place], lengths[place], dtype),)  # noqa: RUF005


def _usual_folders() -> list[Path]:
    if told := os.environ.get("NUMBA_CACHE_DIR"):
        return [Path(told)]
    return [HERE / "__pycache__", Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunewright"]


def _opened(path: Path) -> bytes | None:
    """The object file that `path` holds, None when there is none or it is damaged."""
    with suppress(OSError):
        whole = path.read_bytes()
        if sha256(whole[32:]).digest() == whole[:32]:
            return whole[32:]
    return None


def _can_be_written(path: Path) -> bool:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    return os.access(path.parent, os.W_OK)


def _keep(machine: bytes, path: Path) -> None:
    """Write the file in one step. Where that fails after all, the next process makes it again."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        beside.write_bytes(sha256(machine).digest() + machine)
        beside.replace(path)


run = Library(LOOPS).run
