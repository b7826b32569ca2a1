"""What memory, table, global and reference instructions do (core §4.6.3 to §4.6.9), as templates.

Beside the operands of `templates`, these name: `{vm}` the vmctx, `{o}` a vmctx offset or constant offset, `{base}` the
base of the memory in question. Indices and lengths are i64 here; the translator widens 32-bit ones first.

A load or store of linear memory is volatile, so that none is dropped or moved across another and traps stay exact. The
value of a load gets a second, empty use: LLVM may then not fold the load into the instruction that consumes it, which
would take the fault away from the offset of the load. (Where that is wanted, the translator takes the use back and
locates the consumer at the load.) That of an extending load goes through an empty piece of assembly instead: a second
use does not keep a later extension or mask from being merged with the first, and its location with it. One that fills
up with zeros comes out of the assembly as an i64 of known range, so that it is an index without a further extension.
"""

from __future__ import annotations

from wasmark.compile.bulk import copy, fill
from wasmark.compile.templates import prepare
from wasmark.compile.vector import V128
from wasmark.compile.vector_access import VECTOR_LOADS, vector_load
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LOADS: Final[dict[str, tuple[str, str, str]]] = {
    "i32.load": ("i32", "", "i32"),
    "i64.load": ("i64", "", "i64"),
    "f32.load": ("float", "", "float"),
    "f64.load": ("double", "", "double"),
    **{
        f"{wide}.load{bits}_{sign}": (f"i{bits}", "sext" if sign == "s" else "zext", wide)
        for wide in ("i32", "i64")
        for bits in (8, 16, 32)
        for sign in "su"
        if f"i{bits}" != wide
    },
    **VECTOR_LOADS,
}
"""Load instruction -> (type in memory, extension (or what a vector is made by) or "", result type)."""

STORES: Final[dict[str, tuple[str, str]]] = {
    "i32.store": ("i32", "i32"),
    "i64.store": ("i64", "i64"),
    "f32.store": ("float", "float"),
    "f64.store": ("double", "double"),
    **{
        f"{wide}.store{bits}": (wide, f"i{bits}")
        for wide in ("i32", "i64")
        for bits in (8, 16, 32)
        if f"i{bits}" != wide
    },
    "v128.store": (V128, V128),
}
"""Store instruction -> (operand type, type in memory)."""


USE: Final = "\ncall void (...) @llvm.fake.use({type} {r})"
"""A second use of a value, behind the instruction that makes it."""


def _load(memory: str, extension: str, result: str) -> str:
    if not extension:
        return f"{{r}} = load volatile {result}, ptr %p{{n}}, align 1@M" + USE.replace("{type}", result)
    if result == V128:
        return vector_load(memory, extension)
    text = f"%l{{n}} = load volatile {memory}, ptr %p{{n}}, align 1@M\n"
    if extension == "sext":
        text += f"%x{{n}} = sext {memory} %l{{n}} to {result}@M\n"
        return text + f'{{r}} = call {result} asm "", "=r,0"({result} %x{{n}})@'
    whole, limit = ("%y{n}" if result == "i32" else "{r}"), 1 << int(memory[1:])
    text += f"%x{{n}} = zext {memory} %l{{n}} to i64@M\n"
    text += f'{whole} = call range(i64 0, {limit}) i64 asm "", "=r,0"(i64 %x{{n}})@'
    return text + ("\n{r} = trunc i64 %y{n} to i32@" if result == "i32" else "")


def _store(operand: str, memory: str) -> str:
    if operand == memory:
        return f"store volatile {operand} {{b}}, ptr %p{{n}}, align 1@M"
    return f"%l{{n}} = trunc {operand} {{b}} to {memory}@\nstore volatile {memory} %l{{n}}, ptr %p{{n}}, align 1@M"


# The address is located as the access is: LLVM may merge the two locations, and what they differ in is lost then.
ADDRESS_32: Final = prepare("%e{n} = zext i32 {a} to i64@M\n%p{n} = getelementptr i8, ptr {base}, i64 %e{n}@M\n")
ADDRESS_32_OFFSET: Final = prepare(
    "%e{n} = zext i32 {a} to i64@M\n%f{n} = getelementptr i8, ptr {base}, i64 %e{n}@M\n"
    "%p{n} = getelementptr i8, ptr %f{n}, i64 {o}@M\n"
)
ADDRESS_CHECKED: Final = prepare(
    "%i{n} = icmp ult i64 {length}, {extent}@\n%j{n} = sub i64 {length}, {extent}@\n%k{n} = icmp ugt i64 {a}, %j{n}@\n"
    "%m{n} = or i1 %i{n}, %k{n}@\nbr i1 %m{n}, label %t{n}, label %g{n}, !prof !2\n"
    "t{n}:\n@TMEMORY_OUT_OF_BOUNDS\ng{n}:\n"
    "%f{n} = getelementptr i8, ptr {base}, i64 {a}@\n%p{n} = getelementptr i8, ptr %f{n}, i64 {o}@\n"
)
"""The address `%p{n}` of an access at i64 `{a}` plus constant `{o}`; `{extent}` is the offset plus the access's
size."""

ACCESS: Final[dict[str, str]] = {
    **{name: prepare(_load(*row)) for name, row in LOADS.items()},
    **{name: prepare(_store(*row)) for name, row in STORES.items()},
}
"""The access itself, at `%p{n}`."""


def _only_definition(number: str, where: str) -> str:
    return (
        f"%dp{number} = getelementptr i8, ptr {{vm}}, i64 {where}\n"
        f"%def{number} = load ptr, ptr %dp{number}, !invariant.load !0\n"
    )


def _definition(number: str, where: str, *, length_at: int) -> str:
    """Load a definition's base and length: `%base<number>`, `%len<number>`."""
    return _only_definition(number, where) + (
        f"%base{number} = load ptr, ptr %def{number}\n"
        f"%lp{number} = getelementptr i8, ptr %def{number}, i64 {length_at}\n%len{number} = load i64, ptr %lp{number}\n"
    )


def _fixed_definition(number: str, where: str) -> str:
    """Load the base of a table that never grows: it does not move."""
    return _only_definition(number, where) + f"%base{number} = load ptr, ptr %def{number}, !invariant.load !0\n"


def segment(where: str) -> str:
    """Load a segment's `%items` and `%count`."""
    return (
        f"%sp{{n}} = getelementptr i8, ptr {{vm}}, i64 {where}\n%items{{n}} = load ptr, ptr %sp{{n}}\n"
        f"%cp{{n}} = getelementptr i8, ptr %sp{{n}}, i64 8\n%count{{n}} = load i64, ptr %cp{{n}}\n"
    )


def check_range(tag: str, start: str, length: str, limit: str, code: str) -> str:
    """Trap with `code` unless start + length <= limit, without overflow."""
    return (
        f"%ra{tag} = icmp ugt i64 {length}, {limit}@\n%rb{tag} = sub i64 {limit}, {length}@\n"
        f"%rc{tag} = icmp ugt i64 {start}, %rb{tag}@\n%rd{tag} = or i1 %ra{tag}, %rc{tag}@\n"
        f"br i1 %rd{tag}, label %rt{tag}, label %ro{tag}, !prof !2\nrt{tag}:\n@T{code}\nro{tag}:\n"
    )


def _element(index: str, code: str, length: str = "%len{n}") -> str:
    """Bounds-check an index into `%base{n}`; the element's address is `%ep{n}`."""
    return (
        f"%in{{n}} = icmp ult i64 {index}, {length}@\nbr i1 %in{{n}}, label %eg{{n}}, label %et{{n}}, !prof !1\n"
        f"et{{n}}:\n@T{code}\neg{{n}}:\n%ep{{n}} = getelementptr ptr, ptr %base{{n}}, i64 {index}@\n"
    )


_REFERENCE: Final = (
    "%ref{n} = load ptr, ptr %ep{n}@\n%null{n} = icmp eq ptr %ref{n}, null@\n"
    "br i1 %null{n}, label %ut{n}, label %ug{n}, !prof !2\nut{n}:\n@TUNINITIALIZED_ELEMENT\nug{n}:\n"
)
"""Load the reference in an element that is to be called; null is a trap."""

_MEMORY: Final = "MEMORY_OUT_OF_BOUNDS"
_TABLE: Final = "TABLE_OUT_OF_BOUNDS"


def callee(where: int) -> str:
    """Load a callee pair of the store block, what is at this offset: `%code{n}`, `%ctx{n}`."""
    return (
        "%sbp{n} = getelementptr i8, ptr {vm}, i64 8\n%sb{n} = load ptr, ptr %sbp{n}, !invariant.load !0\n"
        f"%cdp{{n}} = getelementptr i8, ptr %sb{{n}}, i64 {where}\n%code{{n}} = load ptr, ptr %cdp{{n}}\n"
        f"%cxp{{n}} = getelementptr i8, ptr %sb{{n}}, i64 {where + 8}\n%ctx{{n}} = load ptr, ptr %cxp{{n}}\n"
    )


_TEMPLATES: Final[dict[str, str]] = {
    "memory.length": _definition("{n}", "{o}", length_at=L.MEMORY_LENGTH),
    "memory.size": _definition("{n}", "{o}", length_at=L.MEMORY_LENGTH) + "{r} = lshr i64 %len{n}, {shift}@",
    "memory.grow": _only_definition("{n}", "{o}")
    + callee(L.STORE_MEMORY_GROW)
    + "{r} = call i64 %code{n}(ptr %ctx{n}, ptr %def{n}, i64 {a})@",
    "memory.fill": _definition("{n}", "{o}", length_at=L.MEMORY_LENGTH)
    + check_range("{n}", "{a}", "{c}", "%len{n}", _MEMORY)
    + "%to{n} = getelementptr i8, ptr %base{n}, i64 {a}@\n%byte{n} = trunc i32 {b} to i8@\n"
    + fill("%to{n}", "%byte{n}", "{c}"),
    "memory.copy": _definition("{n}", "{o}", length_at=L.MEMORY_LENGTH)
    + _definition("s{n}", "{o2}", length_at=L.MEMORY_LENGTH)
    + check_range("{n}", "{a}", "{c}", "%len{n}", _MEMORY)
    + check_range("s{n}", "{b}", "{c}", "%lens{n}", _MEMORY)
    + "%to{n} = getelementptr i8, ptr %base{n}, i64 {a}@\n%from{n} = getelementptr i8, ptr %bases{n}, i64 {b}@\n"
    + copy("%to{n}", "%from{n}", "{c}"),
    "memory.init": _definition("{n}", "{o}", length_at=L.MEMORY_LENGTH)
    + segment("{o2}")
    + check_range("{n}", "{a}", "{c}", "%len{n}", _MEMORY)
    + check_range("s{n}", "{b}", "{c}", "%count{n}", _MEMORY)
    + "%to{n} = getelementptr i8, ptr %base{n}, i64 {a}@\n%from{n} = getelementptr i8, ptr %items{n}, i64 {b}@\n"
    + copy("%to{n}", "%from{n}", "{c}"),
    "data.drop": "%sp{n} = getelementptr i8, ptr {vm}, i64 {o}@\n%cp{n} = getelementptr i8, ptr %sp{n}, i64 8@\n"
    "store volatile i64 0, ptr %cp{n}@",
    "table.size": _definition("{n}", "{o}", length_at=L.TABLE_LENGTH) + "{r} = add i64 %len{n}, 0@",
    "table.get": _definition("{n}", "{o}", length_at=L.TABLE_LENGTH)
    + _element("{a}", _TABLE)
    + "{r} = load ptr, ptr %ep{n}@",
    "table.set": _definition("{n}", "{o}", length_at=L.TABLE_LENGTH)
    + _element("{a}", _TABLE)
    + "store volatile ptr {b}, ptr %ep{n}@",
    "table.grow": _only_definition("{n}", "{o}")
    + callee(L.STORE_TABLE_GROW)
    + "{r} = call i64 %code{n}(ptr %ctx{n}, ptr %def{n}, i64 {b}, ptr {a})@",
    "table.fill": _definition("{n}", "{o}", length_at=L.TABLE_LENGTH)
    + check_range("{n}", "{a}", "{c}", "%len{n}", _TABLE)
    + "%end{n} = add i64 {a}, {c}@\nbr label %head{n}\nhead{n}:\n"
    "%i{n} = phi i64 [ {a}, %ro{n} ], [ %next{n}, %body{n} ]\n%more{n} = icmp ult i64 %i{n}, %end{n}@\n"
    "br i1 %more{n}, label %body{n}, label %done{n}\n"
    "body{n}:\n%slot{n} = getelementptr ptr, ptr %base{n}, i64 %i{n}@\nstore volatile ptr {b}, ptr %slot{n}@\n"
    "%next{n} = add i64 %i{n}, 1@\nbr label %head{n}\ndone{n}:",
    "table.copy": _definition("{n}", "{o}", length_at=L.TABLE_LENGTH)
    + _definition("s{n}", "{o2}", length_at=L.TABLE_LENGTH)
    + check_range("{n}", "{a}", "{c}", "%len{n}", _TABLE)
    + check_range("s{n}", "{b}", "{c}", "%lens{n}", _TABLE)
    + "%to{n} = getelementptr ptr, ptr %base{n}, i64 {a}@\n%from{n} = getelementptr ptr, ptr %bases{n}, i64 {b}@\n"
    "%size{n} = shl i64 {c}, 3@\n" + copy("%to{n}", "%from{n}", "%size{n}"),
    "table.init": _definition("{n}", "{o}", length_at=L.TABLE_LENGTH)
    + segment("{o2}")
    + check_range("{n}", "{a}", "{c}", "%len{n}", _TABLE)
    + check_range("s{n}", "{b}", "{c}", "%count{n}", _TABLE)
    + "%to{n} = getelementptr ptr, ptr %base{n}, i64 {a}@\n%from{n} = getelementptr ptr, ptr %items{n}, i64 {b}@\n"
    "%size{n} = shl i64 {c}, 3@\n" + copy("%to{n}", "%from{n}", "%size{n}"),
    "global.get": "%gp{n} = getelementptr i8, ptr {vm}, i64 {o}@\n{r} = load {type}, ptr %gp{n}, align 8@",
    "global.get imported": "%gi{n} = getelementptr i8, ptr {vm}, i64 {o}@\n"
    "%gp{n} = load ptr, ptr %gi{n}, !invariant.load !0\n{r} = load {type}, ptr %gp{n}, align 8@",
    "global.set": "%gp{n} = getelementptr i8, ptr {vm}, i64 {o}@\nstore volatile {type} {a}, ptr %gp{n}, align 8@",
    "global.set imported": "%gi{n} = getelementptr i8, ptr {vm}, i64 {o}@\n"
    "%gp{n} = load ptr, ptr %gi{n}, !invariant.load !0\nstore volatile {type} {a}, ptr %gp{n}, align 8@",
    "ref.is_null": "%c{n} = icmp eq ptr {a}, null@\n{r} = zext i1 %c{n} to i32@",
    "ref.func": "{r} = getelementptr i8, ptr {vm}, i64 {o}@",
    "ref.func imported": "%fp{n} = getelementptr i8, ptr {vm}, i64 {o}@\n"
    "{r} = load ptr, ptr %fp{n}, !invariant.load !0",
    "ref.as_non_null": "%c{n} = icmp eq ptr {a}, null@\nbr i1 %c{n}, label %t{n}, label %k{n}, !prof !2\n"
    "t{n}:\n@TNULL_REFERENCE\nk{n}:",
    # A function of the same module, wherever its code is at present.
    "callee slot": f"%tp{{n}} = getelementptr i8, ptr {{vm}}, i64 {L.VMLayout.FUNCTION_TABLE}\n"
    "%table{n} = load ptr, ptr %tp{n}, !invariant.load !0\n%cp{n} = getelementptr i8, ptr %table{n}, i64 {o}\n"
    "%code{n} = load ptr, ptr %cp{n}",
    # The callee of an indirect call: `%code{n}` and `%ctx{n}` are what to call, and with.
    "callee imported": "%ip{n} = getelementptr i8, ptr {vm}, i64 {o}@\n"
    "%code{n} = load ptr, ptr %ip{n}, !invariant.load !0\n"
    "%iq{n} = getelementptr i8, ptr %ip{n}, i64 8@\n%ctx{n} = load ptr, ptr %iq{n}, !invariant.load !0",
    "callee table": _definition("{n}", "{o}", length_at=L.TABLE_LENGTH)
    + _element("{a}", "UNDEFINED_ELEMENT")
    + _REFERENCE,
    "callee table fixed": _fixed_definition("{n}", "{o}")
    + _element("{a}", "UNDEFINED_ELEMENT", "{length}")
    + _REFERENCE,
    "callee ref": "%ref{n} = getelementptr i8, ptr {a}, i64 0\n%null{n} = icmp eq ptr %ref{n}, null@\n"
    "br i1 %null{n}, label %ut{n}, label %ug{n}, !prof !2\nut{n}:\n@TNULL_FUNCTION_REFERENCE\nug{n}:\n",
    "callee type": f"%tp{{n}} = getelementptr i8, ptr %ref{{n}}, i64 {L.FUNCREF_TYPE_ID}@\n"
    "%type{n} = load i64, ptr %tp{n}@\n"
    "%wp{n} = getelementptr i8, ptr {vm}, i64 {o}@\n%want{n} = load i64, ptr %wp{n}, !invariant.load !0\n"
    "%same{n} = icmp eq i64 %type{n}, %want{n}@\n",
    "callee type final": "br i1 %same{n}, label %mg{n}, label %mt{n}, !prof !1\n"
    "mt{n}:\n@TINDIRECT_CALL_TYPE_MISMATCH\nmg{n}:\n",
    "callee type open": "br i1 %same{n}, label %mg{n}, label %ms{n}, !prof !1\nms{n}:\n"
    + callee(L.STORE_IS_SUBTYPE).replace("%code", "%scode").replace("%ctx", "%sctx")
    + "%sub{n} = call i32 %scode{n}(ptr %sctx{n}, i64 %type{n}, i64 %want{n})@\n%issub{n} = icmp ne i32 %sub{n}, 0@\n"
    "br i1 %issub{n}, label %mg{n}, label %mt{n}\nmt{n}:\n@TINDIRECT_CALL_TYPE_MISMATCH\nmg{n}:\n",
    # Most callees belong to the same instance. A branch on that is predicted: their loads need not wait for the context
    # to come out of the reference. The empty assembly keeps LLVM from seeing that both ways end with the same value.
    "callee load": "%code{n} = load ptr, ptr %ref{n}@\n"
    f"%xp{{n}} = getelementptr i8, ptr %ref{{n}}, i64 {L.FUNCREF_CONTEXT}@\n%found{{n}} = load ptr, ptr %xp{{n}}@\n"
    "%own{n} = icmp eq ptr %found{n}, {vm}@\nbr label %xs{n}\n"
    "xs{n}:\nbr i1 %own{n}, label %xg{n}, label %xo{n}, !prof !1\n"
    'xo{n}:\n%other{n} = call ptr asm sideeffect "", "=r,0"(ptr %found{n})@\nbr label %xg{n}\n'
    "xg{n}:\n%ctx{n} = phi ptr [ {vm}, %xs{n} ], [ %other{n}, %xo{n} ]",
    # STORE_STACK_LIMIT is at 0. `{o}` is what the frame needs below its address.
    "stack check": "%sbp{n} = getelementptr i8, ptr {vm}, i64 8\n%sb{n} = load ptr, ptr %sbp{n}, !invariant.load !0\n"
    "%limit{n} = load ptr, ptr %sb{n}\n%frame{n} = call ptr @llvm.frameaddress.p0(i32 0)\n"
    "%low{n} = ptrtoint ptr %frame{n} to i64\n%least{n} = ptrtoint ptr %limit{n} to i64\n"
    "%need{n} = sub i64 %low{n}, {o}\n%over{n} = icmp ult i64 %need{n}, %least{n}@\n"
    "br i1 %over{n}, label %t{n}, label %k{n}, !prof !2\n"
    "t{n}:\n@TSTACK_OVERFLOW\nk{n}:",
}
_TEMPLATES["elem.drop"] = _TEMPLATES["data.drop"]

TIER_UP_CALLEE: Final = prepare(callee(L.STORE_TIER_UP))
"""What code of the first tier asks when it is hot: `%code{n}` and `%ctx{n}`."""

ACCESSORS: Final[dict[str, str]] = {name: prepare(text) for name, text in _TEMPLATES.items()}
"""Templates by instruction name, or by the name of a step that several instructions share."""
