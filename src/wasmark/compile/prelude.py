"""What every LLVM IR module with filled-in templates starts and ends with: the intrinsics that templates name, and the
metadata that they refer to by number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


def _intrinsics() -> str:
    lines = [
        "declare void @llvm.ubsantrap(i8 immarg)",
        "declare void @llvm.fake.use(...)",
        "declare ptr @llvm.frameaddress.p0(i32 immarg)",
        "declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1 immarg)",
        "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1 immarg)",
    ]
    for t in ("i32", "i64"):
        lines += [f"declare {t} @llvm.{name}.{t}({t}, i1 immarg)" for name in ("ctlz", "cttz")]
        lines += [f"declare {t} @llvm.{name}.{t}({t}, {t}, {t})" for name in ("fshl", "fshr")]
        lines.append(f"declare {t} @llvm.ctpop.{t}({t})")
    for t, suffix in (("float", "f32"), ("double", "f64")):
        unary = ("fabs", "ceil", "floor", "trunc", "roundeven", "sqrt", "arithmetic.fence")
        lines += [f"declare {t} @llvm.{name}.{suffix}({t})" for name in unary]
        lines += [f"declare {t} @llvm.{name}.{suffix}({t}, {t})" for name in ("minimum", "maximum", "copysign")]
        lines += [f"declare {i} @llvm.fpto{k}i.sat.{i}.{suffix}({t})" for i in ("i32", "i64") for k in "su"]
    return "\n".join([*lines, *_vector_intrinsics(), ""])


def _vector_intrinsics() -> Iterator[str]:
    for bits in (8, 16, 32, 64):
        t, s = f"<{128 // bits} x i{bits}>", f"v{128 // bits}i{bits}"
        yield f"declare {t} @llvm.abs.{s}({t}, i1 immarg)"
        for name in ("smin", "smax", "umin", "umax", "sadd.sat", "uadd.sat", "ssub.sat", "usub.sat"):
            yield f"declare {t} @llvm.{name}.{s}({t}, {t})"
    yield "declare <16 x i8> @llvm.ctpop.v16i8(<16 x i8>)"
    for t, s in (("<4 x float>", "v4f32"), ("<2 x double>", "v2f64")):
        for name in ("fabs", "ceil", "floor", "trunc", "roundeven", "sqrt", "arithmetic.fence"):
            yield f"declare {t} @llvm.{name}.{s}({t})"
        yield f"declare {t} @llvm.fma.{s}({t}, {t}, {t})"
    for result, name, operand, count in _MACHINE:
        yield f"declare {result} @llvm.x86.{name}({', '.join([operand] * count)})"


_MACHINE: Final = (
    ("<16 x i8>", "sse2.packsswb.128", "<8 x i16>", 2),
    ("<16 x i8>", "sse2.packuswb.128", "<8 x i16>", 2),
    ("<8 x i16>", "sse2.packssdw.128", "<4 x i32>", 2),
    ("<8 x i16>", "sse41.packusdw", "<4 x i32>", 2),
    ("<16 x i8>", "ssse3.pshuf.b.128", "<16 x i8>", 2),
    ("<8 x i16>", "ssse3.pmul.hr.sw.128", "<8 x i16>", 2),
    ("<8 x i16>", "ssse3.pmadd.ub.sw.128", "<16 x i8>", 2),
    ("<4 x i32>", "sse2.pmadd.wd", "<8 x i16>", 2),
    ("<4 x i32>", "sse2.cvttps2dq", "<4 x float>", 1),
    ("<4 x i32>", "sse2.cvttpd2dq", "<2 x double>", 1),
)
"""Instructions of the machine that `vector` names: (result, name, type of the operands, how many)."""


INTRINSICS: Final = _intrinsics()

# Frame pointers are what backtraces walk. Inline probes make a large frame touch its guard page instead of leaping over
# it.
ATTRIBUTES: Final = """\
attributes #0 = { nounwind "frame-pointer"="all" "probe-stack"="inline-asm" }
attributes #1 = { nomerge noreturn nounwind cold }
"""

SCOPE_BASE: Final = 10
"""The first metadata number that is free for functions."""

METADATA: Final = """\
!llvm.dbg.cu = !{!5}
!llvm.module.flags = !{!3, !4}
!0 = !{}
!1 = !{!"branch_weights", i32 2000, i32 1}
!2 = !{!"branch_weights", i32 1, i32 2000}
!3 = !{i32 2, !"Debug Info Version", i32 3}
!4 = !{i32 7, !"Dwarf Version", i32 5}
!5 = distinct !DICompileUnit(language: DW_LANG_C, file: !6, isOptimized: true, runtimeVersion: 0,
  emissionKind: LineTablesOnly)
!6 = !DIFile(filename: "wasm", directory: "")
!7 = !DISubroutineType(types: !0)
"""
