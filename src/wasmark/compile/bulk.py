"""Filling and copying of any number of bytes, as templates. What is long goes to a function of the runtime image that
does it in pieces, between which it can be stopped (`image/stopping.ll`): the C library's functions cannot. Where LLVM
knows the size, it is one of the two only."""

from __future__ import annotations

from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table


def fill(to: str, byte: str, size: str) -> str:
    """Set bytes; `byte` is an i8."""
    return _either(
        size, L.STORE_FILL, f"ptr {to}, i8 {byte}, i64 {size}", f"@llvm.memset.p0.i64(ptr {to}, i8 {byte}, i64 {size}"
    )


def copy(to: str, from_: str, size: str) -> str:
    """Copy bytes between ranges that may overlap."""
    operands = f"ptr {to}, ptr {from_}, i64 {size}"
    return _either(size, L.STORE_COPY, operands, f"@llvm.memmove.p0.p0.i64({operands}")


def _either(size: str, where: int, operands: str, short: str) -> str:
    return (
        f"%much{{n}} = icmp ugt i64 {size}, {L.PIECE}@\n"
        "br i1 %much{n}, label %long{n}, label %short{n}, !prof !2\nlong{n}:\n"
        "%sbp{n} = getelementptr i8, ptr {vm}, i64 8\n%sb{n} = load ptr, ptr %sbp{n}, !invariant.load !0\n"
        f"%where{{n}} = getelementptr i8, ptr %sb{{n}}, i64 {where}\n%pieces{{n}} = load ptr, ptr %where{{n}}\n"
        f"call void %pieces{{n}}(ptr %sb{{n}}, {operands})@\nbr label %filled{{n}}\n"
        f"short{{n}}:\ncall void {short}, i1 true)@\nbr label %filled{{n}}\nfilled{{n}}:"
    )
