"""The only door to llvmlite: text of IR in, relocatable object out.

LLVM assertions are on in the wheels and invalid IR aborts the process, so what is handed to `compile_ir` has to be
valid by construction; the verifier is for tests, it costs as much as the passes.
"""

from __future__ import annotations

import atexit
import functools
import platform
import sys
import threading
from typing import Any, Final

import llvmlite.binding as llvm

from wasmark.errors import UnsupportedError
from wasmark.runtime.apart import in_main_thread, run_apart
from wasmark.runtime.processor import LEVEL, has_level

TRIPLE: Final = "x86_64-unknown-linux-gnu"

_AVOIDED: Final = "-avx512f"
"""Scalar code only loses by AVX-512: LLVM compares floats into mask registers, a slow way to a branch or a `select`,
and prefers registers that make instructions longer. And LLVM 22 computes the minimum or maximum of a signalling NaN
and a value that it knows to be no NaN with VFPCLASS (of AVX512DQ), which it asks about quiet NaNs only; the NaN gets
lost."""

_lock = threading.Lock()
# When the process ends LLVM takes itself apart, whoever is still using it: the last one in it is waited for, and nobody
# comes after.
atexit.register(_lock.acquire)


@functools.cache
def _initialize() -> None:
    if not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "AMD64"):
        raise UnsupportedError(
            "native code is made for x86-64 Linux only; "
            f"this is {platform.machine() or 'an unknown machine'} {sys.platform}"
        )
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    # Code that is the same at the end of several blocks stays where it is: merged, it would belong to no place in the
    # module, and a trap or a call there could not be told from the others.
    llvm.set_option("wasmark", "-enable-tail-merge=false")
    # The frame is there before anything else: a trap without one would hide the caller from tracebacks.
    llvm.set_option("wasmark", "-enable-shrink-wrap=false")
    # Between a branch and a `select` the producer of the wasm file has chosen, and knew more about the data.
    llvm.set_option("wasmark", "-x86-cmov-converter=false")


@functools.cache
def _target_machine(relocation: str, portable: bool) -> Any:
    _initialize()
    portable = portable and has_level()
    return llvm.Target.from_triple(TRIPLE).create_target_machine(
        cpu=LEVEL if portable else llvm.get_host_cpu_name(),
        features="" if portable else f"{llvm.get_host_cpu_features().flatten()},{_AVOIDED}",
        opt=2,
        reloc=relocation,
        codemodel="small",
    )


def _optimize(module: Any, machine: Any) -> None:
    # A pass builder becomes slower with each module it has seen: one for each costs nothing.
    with (
        llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(1)) as builder,
        llvm.create_new_module_pass_manager() as manager,
    ):
        manager.add_sroa_pass()
        manager.add_instruction_combine_pass()
        manager.add_simplify_cfg_pass()
        manager.run(module, builder)


def compile_ir(text: str, *, relocation: str = "pic", portable: bool = False, verify: bool = False) -> bytes:
    """The object code of a module of LLVM IR, through the light pipeline: wasm producers have optimised already.

    `relocation` is "pic" for code that is linked, "static" where symbols stand for small numbers (stencils). `portable`
    code runs on all processors of `LEVEL`, other code uses all that this one has. `verify` asks LLVM's verifier first
    (RuntimeError with its complaint).
    """
    if not in_main_thread():
        return _compile(text, relocation, verify=verify, portable=portable)
    # A Python signal handler may raise in the main thread only, but there at any step: LLVM's objects would be disposed
    # of in the wrong order, or not at all.
    return run_apart(lambda: _compile(text, relocation, verify=verify, portable=portable))


def _compile(text: str, relocation: str, *, verify: bool, portable: bool) -> bytes:
    with _lock:
        _initialize()
        # A context keeps every constant and debug location it has seen for as long as it lives.
        with (
            llvm.create_context() as context,
            llvm.parse_assembly(f'target triple = "{TRIPLE}"\n{text}', context) as module,
        ):
            if verify:
                module.verify()
            machine = _target_machine(relocation, portable)
            _optimize(module, machine)
            code: bytes = machine.emit_object(module)
        return code
