"""The LLVM IR of modules, without making code of it."""

from __future__ import annotations

import llvmlite.binding as llvm

from wasmark.binary import decode_body, decode_module
from wasmark.compile.function import ModuleContext
from wasmark.compile.llvm import TRIPLE
from wasmark.compile.module import batch_ir
from wasmark.core.flavour import Flavour
from wasmark.runtime.layout import VMLayout
from wasmark.validate import validate_module


def module_context(binary: bytes, *, deterministic: bool = False, fuel: bool = False) -> ModuleContext:
    """What is known of a validated module before its functions are translated.

    Raises as `wasmark.Module` does for modules that are refused.
    """
    model = decode_module(binary)
    validator = validate_module(model)
    for index, function in enumerate(model.functions):
        validator.validate_body(index, decode_body(model, function.start, function.end))
    imported = model.imported["func"]
    layout = VMLayout(model, sorted(index for index in validator.declared_functions if index >= imported))
    return ModuleContext(model, layout, "m0.", flavour=Flavour(deterministic, fuel))


def module_ir(binary: bytes) -> str:
    """The IR of all functions of a module, as one batch. Raises as `module_context`."""
    context = module_context(binary)
    return batch_ir(context, range(len(context.model.functions)))


def verify(ir: str) -> None:
    """Ask LLVM's parser and verifier.

    Raises RuntimeError with its complaint; what is so wrong that an assertion of LLVM fails ends the process.
    """
    module = llvm.parse_assembly(f'target triple = "{TRIPLE}"\n{ir}')
    module.verify()
    if "!DISubprogram" in ir and "!DISubprogram" not in str(module):
        raise RuntimeError("the debug information is invalid: LLVM threw it away")
    module.close()
