"""Modules with debug information, made of LLVM IR: what a C++ compiler would write, with places that the tests know.

An object file for WebAssembly is a module. Its debug information has the right numbers before a linker comes; only
exports are missing.
"""

from __future__ import annotations

import functools
import re
import traceback

import llvmlite.binding as llvm

from wasmark.binary import decode_module, encode_module
from wasmark.core.model import Export

_DINNER = """
target triple = "wasm32-unknown-unknown"
define i32 @pay(i32 %cents, i32 %people) !dbg !10 {
  %share = call i32 @split(i32 %cents, i32 %people), !dbg !20
  %all = add i32 %share, 1, !dbg !20
  ret i32 %all, !dbg !20
}
define i32 @split(i32 %cents, i32 %people) noinline !dbg !11 {
  %share = sdiv i32 %cents, %people, !dbg !21
  %more = mul i32 %share, %share, !dbg !24
  ret i32 %more, !dbg !25
}
!llvm.dbg.cu = !{!0}
!llvm.module.flags = !{!1, !2}
!0 = distinct !DICompileUnit(language: DW_LANG_C_plus_plus_14, file: !3, producer: "by hand", isOptimized: true,
  runtimeVersion: 0, emissionKind: FullDebug)
!1 = !{i32 7, !"Dwarf Version", i32 $VERSION}
!2 = !{i32 2, !"Debug Info Version", i32 3}
!3 = !DIFile(filename: "dinner.cpp", directory: "$FOLDER")
!4 = !DIFile(filename: "include/share.hpp", directory: "$FOLDER")
!5 = !DISubroutineType(types: !{null})
!10 = distinct !DISubprogram(name: "pay", linkageName: "_ZN6dinner3payEii", scope: !3, file: !3, line: 20, type: !5,
  scopeLine: 20, spFlags: DISPFlagDefinition | DISPFlagOptimized, unit: !0)
!11 = distinct !DISubprogram(name: "split", linkageName: "_ZN6dinner5splitEii", scope: !3, file: !3, line: 10, type: !5,
  scopeLine: 10, spFlags: DISPFlagDefinition | DISPFlagOptimized, unit: !0)
!12 = distinct !DISubprogram(name: "share", linkageName: "_ZN6dinner5shareEii", scope: !4, file: !4, line: 3, type: !5,
  scopeLine: 3, spFlags: DISPFlagDefinition | DISPFlagOptimized, unit: !0)
!13 = distinct !DISubprogram(name: "divide", scope: !4, file: !4, line: 1, type: !5,
  scopeLine: 1, spFlags: DISPFlagDefinition | DISPFlagOptimized, unit: !0)
!20 = !DILocation(line: 22, column: 5, scope: !10)
!21 = !DILocation(line: 2, column: 14, scope: !13, inlinedAt: !22)
!22 = distinct !DILocation(line: 4, column: 9, scope: !12, inlinedAt: !23)
!23 = distinct !DILocation(line: 12, column: 7, scope: !11)
!24 = !DILocation(line: 5, column: 16, scope: !12, inlinedAt: !23)
!25 = !DILocation(line: 13, column: 3, scope: !11)
"""
DINNER_CPP = "\n".join(f"// line {number} of dinner.cpp" for number in range(1, 30))
SHARE_HPP = "\n".join(f"// line {number} of share.hpp" for number in range(1, 10))


@functools.cache
def dinner(version: int = 5, folder: str = "/src/dinner") -> bytes:
    """A module that exports `pay` and `split`; `pay(1, 0)` traps in `divide`, inlined into `share`, inlined into
    `split`, which `pay` calls. Its debug information is of this version of DWARF."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    text = _DINNER.replace("$VERSION", str(version)).replace("$FOLDER", folder)
    module = llvm.parse_assembly(text.replace("types: !{null}", "types: !6") + "!6 = !{null}\n")
    machine = llvm.Target.from_triple("wasm32-unknown-unknown").create_target_machine(opt=2)
    model = decode_module(machine.emit_object(module))
    model.imports = []  # a memory and a stack pointer, which nobody uses
    model.exports = [Export("pay", "func", 0), Export("split", "func", 1)]
    return encode_module(model)


def one_label(text: str) -> str:
    """A text in which modules that live at the same time have the same label."""
    return re.sub(r"wasm://(\w+)-\d+/", r"wasm://\1/", text)


def calls(error: BaseException) -> list[tuple[str, str]]:
    """(function, file) of each line of a traceback, outermost first."""
    return [(line.name, one_label(line.filename)) for line in traceback.extract_tb(error.__traceback__)]
