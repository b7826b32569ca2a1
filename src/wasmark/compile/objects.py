"""What the instructions on structures, arrays, i31 references and casts do (core §4.6.6 to §4.6.10), as templates.

A reference is a word. An i31 is its number above a bit 0 that is set; an object of the host, be it an `externref` or
one made an `anyref`, has HOST_TAG in its lowest three bits; an object of the heap is its address, whose lowest bits
are zero. So the conversions between the two hierarchies change nothing, and equal references are equal words.

Beside the operands of `templates`, these name `{o}` a field's offset, or the vmctx offset of a type's descriptor or of
its canonical id; `{size}` and `{length}` of what is allocated; `{place}` of a type's id in a descriptor.
"""

from __future__ import annotations

from wasmark.compile.access import callee, check_range, segment
from wasmark.compile.bulk import copy
from wasmark.compile.templates import prepare
from wasmark.compile.vector import V128
from wasmark.core.object_layout import ARRAY_ELEMENTS, ARRAY_LENGTH
from wasmark.core.types import F32, F64, I32, I64, FuncType, HeapType, PackedType, RefType, StorageType
from wasmark.core.types import V128 as V128_TYPE
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NamedTuple

    from wasmark.core.model import ModuleModel
    from wasmark.runtime.layout import VMLayout
else:
    from wasmark.core.record import NamedTuple

WIDTHS: Final = {"i8": ("i8", 0), "i16": ("i16", 1), "i32": ("i32", 2), "i64": ("i64", 3), "v128": (V128, 4)}
"""How the first tier calls what is in memory -> (LLVM type, log2 of its size)."""

_TYPES: Final = {**WIDTHS, "float": ("float", 2), "double": ("double", 3), "ptr": ("ptr", 3)}
_SHIFTS: Final = range(5)


def _trap_if(condition: str, code: str, tag: str = "") -> str:
    return (
        f"br i1 {condition}, label %xt{tag}{{n}}, label %xg{tag}{{n}}, !prof !2\n"
        f"xt{tag}{{n}}:\n@T{code}\nxg{tag}{{n}}:\n"
    )


def _not_null(operand: str, code: str, tag: str = "") -> str:
    return f"%xn{tag}{{n}} = icmp eq ptr {operand}, null@\n" + _trap_if(f"%xn{tag}{{n}}", code, tag)


def _load(memory: str, extension: str, address: str) -> str:
    """A load, widened to an i32 where it is narrower."""
    if not extension:
        return f"{{r}} = load {memory}, ptr {address}@"
    return f"%xl{{n}} = load {memory}, ptr {address}@\n{{r}} = {extension} {memory} %xl{{n}} to i32@"


def _store(memory: str, value: str, address: str, tag: str = "") -> str:
    if memory not in ("i8", "i16"):
        return f"store volatile {memory} {value}, ptr {address}@"
    return f"%xv{tag}{{n}} = trunc i32 {value} to {memory}@\nstore volatile {memory} %xv{tag}{{n}}, ptr {address}@"


def _array(operand: str, tag: str = "") -> str:
    """The length of an array, as `%xlen{n}`, and as `%xwide{n}` an i64."""
    return (
        _not_null(operand, "NULL_ARRAY_REFERENCE", tag)
        + f"%xp{tag}{{n}} = getelementptr i8, ptr {operand}, i64 {ARRAY_LENGTH}@\n"
        f"%xlen{tag}{{n}} = load i32, ptr %xp{tag}{{n}}@\n%xwide{tag}{{n}} = zext i32 %xlen{tag}{{n}} to i64@\n"
    )


def _elements(operand: str, index: str, shift: int, tag: str = "") -> str:
    """The address of an element, `%xe{n}`; the index is an i64."""
    return (
        f"%xs{tag}{{n}} = shl i64 {index}, {shift}@\n"
        f"%xa{tag}{{n}} = getelementptr i8, ptr {operand}, i64 {ARRAY_ELEMENTS}@\n"
        f"%xe{tag}{{n}} = getelementptr i8, ptr %xa{tag}{{n}}, i64 %xs{tag}{{n}}@\n"
    )


def _widened(operand: str, name: str) -> str:
    return f"%{name}{{n}} = zext i32 {operand} to i64@\n"


def _allocate(size: str, length: str) -> str:
    """A new object, `{r}`, with zeros in its fields."""
    return (
        "%xsbp{n} = getelementptr i8, ptr {vm}, i64 8\n%xsb{n} = load ptr, ptr %xsbp{n}, !invariant.load !0\n"
        f"%xnewp{{n}} = getelementptr i8, ptr %xsb{{n}}, i64 {L.STORE_GC_NEW}\n"
        "%xnew{n} = load ptr, ptr %xnewp{n}\n"
        "%xdp{n} = getelementptr i8, ptr {vm}, i64 {o}\n%xd{n} = load ptr, ptr %xdp{n}, !invariant.load !0\n"
        f"{{r}} = call ptr %xnew{{n}}(ptr %xsb{{n}}, ptr %xd{{n}}, i64 {size}, i32 {length})@\n"
        "%xm{n} = icmp eq ptr {r}, null@\n" + _trap_if("%xm{n}", "GC_HEAP_EXHAUSTED", "m")
    )


def _allocate_array(length: str, shift: int) -> str:
    return (
        f"%xwn{{n}} = zext i32 {length} to i64@\n%xzs{{n}} = shl i64 %xwn{{n}}, {shift}@\n"
        f"%xz{{n}} = add i64 %xzs{{n}}, {ARRAY_ELEMENTS}@\n" + _allocate("%xz{n}", length)
    )


def _fill(memory: str, operand: str, start: str, value: str, count: str, shift: int, before: str) -> str:
    """Store a value to `count` elements from `start` on, both i64; `before` is the block that this begins in."""
    narrow = f"%xv{{n}} = trunc i32 {value} to {memory}@\n" if memory in ("i8", "i16") else ""
    stored = "%xv{n}" if narrow else value
    return (
        _elements(operand, start, shift) + narrow + "br label %fh{n}\nfh{n}:\n"
        f"%fi{{n}} = phi i64 [ 0, %{before} ], [ %fx{{n}}, %fb{{n}} ]\n%fm{{n}} = icmp ult i64 %fi{{n}}, {count}@\n"
        "br i1 %fm{n}, label %fb{n}, label %fd{n}\nfb{n}:\n"
        f"%fp{{n}} = getelementptr {memory}, ptr %xe{{n}}, i64 %fi{{n}}@\n"
        f"store volatile {memory} {stored}, ptr %fp{{n}}@\n"
        "%fx{n} = add i64 %fi{n}, 1@\nbr label %fh{n}\nfd{n}:"
    )


_ARRAY_BOUNDS: Final = "ARRAY_OUT_OF_BOUNDS"


def _from_segment(start: str, count: str, shift: int, *, elements: bool) -> str:
    """Check a range of a segment, the start in elements or bytes; `%xfrom{n}` and `%xbytes{n}` are what to copy."""
    unit = shift if elements else 0
    code = "TABLE_OUT_OF_BOUNDS" if elements else "MEMORY_OUT_OF_BOUNDS"
    length = "%xcount{n}" if elements else "%xbytes{n}"
    return (
        segment("{o2}")
        + _widened(start, "xstart")
        + _widened(count, "xcount")
        + f"%xbytes{{n}} = shl i64 %xcount{{n}}, {shift}@\n"
        + check_range("s{n}", "%xstart{n}", length, "%count{n}", code)
        + f"%xskip{{n}} = shl i64 %xstart{{n}}, {unit}@\n"
        "%xfrom{n} = getelementptr i8, ptr %items{n}, i64 %xskip{n}@\n"
    )


def _new_from_segment(shift: int, *, elements: bool) -> str:
    return (
        _from_segment("{a}", "{b}", shift, elements=elements)
        + _allocate_array("{b}", shift)
        + _elements("{r}", "0", shift)
        + copy("%xe{n}", "%xfrom{n}", "%xbytes{n}")
    )


def _init_from_segment(shift: int, *, elements: bool) -> str:
    return (
        _array("{a}")
        + _widened("{b}", "xto")
        + _widened("{c2}", "xmany")
        + check_range("{n}", "%xto{n}", "%xmany{n}", "%xwide{n}", _ARRAY_BOUNDS)
        + _from_segment("{c}", "{c2}", shift, elements=elements)
        + _elements("{a}", "%xto{n}", shift)
        + copy("%xe{n}", "%xfrom{n}", "%xbytes{n}")
    )


def _array_copy(shift: int) -> str:
    """Operands: a destination, b index, c source, c2 index, c3 length."""
    return (
        _array("{a}")
        + _array("{c}", "s")
        + _widened("{b}", "xto")
        + _widened("{c2}", "xat")
        + _widened("{c3}", "xmany")
        + check_range("{n}", "%xto{n}", "%xmany{n}", "%xwide{n}", _ARRAY_BOUNDS)
        + check_range("s{n}", "%xat{n}", "%xmany{n}", "%xwides{n}", _ARRAY_BOUNDS)
        + _elements("{a}", "%xto{n}", shift)
        + _elements("{c}", "%xat{n}", shift, "s")
        + f"%xbytes{{n}} = shl i64 %xmany{{n}}, {shift}@\n"
        + copy("%xe{n}", "%xes{n}", "%xbytes{n}")
    )


def _array_fill(memory: str, shift: int) -> str:
    return (
        _array("{a}")
        + _widened("{b}", "xto")
        + _widened("{c2}", "xmany")
        + check_range("{n}", "%xto{n}", "%xmany{n}", "%xwide{n}", _ARRAY_BOUNDS)
        + _fill(memory, "{a}", "%xto{n}", "{c}", "%xmany{n}", shift, "ro{n}")
    )


def _by_width() -> dict[str, str]:
    found = {}
    for name, (memory, shift) in _TYPES.items():
        field = _not_null("{a}", "NULL_STRUCTURE_REFERENCE") + "%xf{n} = getelementptr i8, ptr {a}, i64 {o}@\n"
        element = (
            _array("{a}")
            + "%xb{n} = icmp uge i32 {b}, %xlen{n}@\n"
            + _trap_if("%xb{n}", _ARRAY_BOUNDS, "b")
            + _widened("{b}", "xi")
            + _elements("{a}", "%xi{n}", shift)
        )
        for sign, extension in (("_s", "sext"), ("_u", "zext")) if memory in ("i8", "i16") else (("", ""),):
            found[f"struct.get{sign} {name}"] = field + _load(memory, extension, "%xf{n}")
            found[f"array.get{sign} {name}"] = element + _load(memory, extension, "%xe{n}")
        found[f"struct.set {name}"] = field + _store(memory, "{b}", "%xf{n}")
        found[f"array.set {name}"] = element + _store(memory, "{c}", "%xe{n}")
        # A field of an object that was just made.
        found[f"initial {name}"] = "%xf{n} = getelementptr i8, ptr {a}, i64 {o}@\n" + _store(memory, "{b}", "%xf{n}")
        found[f"array.new {name}"] = _allocate_array("{b}", shift) + _fill(
            memory, "{r}", "0", "{a}", "%xwn{n}", shift, "xgm{n}"
        )
        found[f"array.fill {name}"] = _array_fill(memory, shift)
    for shift in _SHIFTS:
        found[f"array.new_default {shift}"] = _allocate_array("{a}", shift)
        found[f"array.new_data {shift}"] = _new_from_segment(shift, elements=False)
        found[f"array.init_data {shift}"] = _init_from_segment(shift, elements=False)
        found[f"array.copy {shift}"] = _array_copy(shift)
    return found


# Whether a reference `{a}` that is not null, with the word `%rw{n}`, is of a type. Each ends in a branch to ry{n} (it
# is) or rf{n} (it is not).
_IS_OBJECT: Final = (
    "%rt{n} = and i64 %rw{n}, 7@\n%ro{n} = icmp eq i64 %rt{n}, 0@\nbr i1 %ro{n}, label %rd{n}, label %rf{n}\n"
    "rd{n}:\n%rh{n} = load ptr, ptr {a}@\n"
)


def _of_kind(kind: int) -> str:
    return (
        _IS_OBJECT
        + f"%rkp{{n}} = getelementptr i8, ptr %rh{{n}}, i64 {L.TYPE_KIND}@\n%rk{{n}} = load i32, ptr %rkp{{n}}@\n"
        f"%rc{{n}} = icmp eq i32 %rk{{n}}, {kind}@\nbr i1 %rc{{n}}, label %ry{{n}}, label %rf{{n}}\n"
    )


_WANTED: Final = "%rvp{n} = getelementptr i8, ptr {vm}, i64 {o}@\n"
_KINDS: Final = {
    "all": "br label %ry{n}\n",
    "none": "br label %rf{n}\n",
    "eq": f"%rt{{n}} = and i64 %rw{{n}}, 7@\n%ro{{n}} = icmp eq i64 %rt{{n}}, {L.HOST_TAG}@\n"
    "br i1 %ro{n}, label %rf{n}, label %ry{n}\n",
    "i31": "%rt{n} = and i64 %rw{n}, 1@\n%ro{n} = icmp eq i64 %rt{n}, 0@\nbr i1 %ro{n}, label %rf{n}, label %ry{n}\n",
    "struct": _of_kind(L.KIND_STRUCT),
    "array": _of_kind(L.KIND_ARRAY),
    "final": _IS_OBJECT + _WANTED + "%rv{n} = load ptr, ptr %rvp{n}, !invariant.load !0\n"
    "%rc{n} = icmp eq ptr %rh{n}, %rv{n}@\nbr i1 %rc{n}, label %ry{n}, label %rf{n}\n",
    "open": _IS_OBJECT + _WANTED + "%rv{n} = load i32, ptr %rvp{n}, !invariant.load !0\n"
    "%rkp{n} = getelementptr i8, ptr %rh{n}, i64 {place}@\n%rk{n} = load i32, ptr %rkp{n}@\n"
    "%rc{n} = icmp eq i32 %rk{n}, %rv{n}@\nbr i1 %rc{n}, label %ry{n}, label %rf{n}\n",
    "function": f"%rhp{{n}} = getelementptr i8, ptr {{a}}, i64 {L.FUNCREF_TYPE_ID}@\n"
    "%rh{n} = load i64, ptr %rhp{n}@\n"
    + _WANTED
    + "%rv{n} = load i64, ptr %rvp{n}, !invariant.load !0\n%rc{n} = icmp eq i64 %rh{n}, %rv{n}@\n"
    "br i1 %rc{n}, label %ry{n}, label %rd{n}\nrd{n}:\n"
    + callee(L.STORE_IS_SUBTYPE)
    + "%rs{n} = call i32 %code{n}(ptr %ctx{n}, i64 %rh{n}, i64 %rv{n})@\n%rz{n} = icmp ne i32 %rs{n}, 0@\n"
    "br i1 %rz{n}, label %ry{n}, label %rf{n}\n",
}


def _test(kind: str, null: str) -> str:
    """A test that goes on at ry{n} or rf{n}, which are not there yet."""
    return (
        "%rw{n} = ptrtoint ptr {a} to i64@\n%rn{n} = icmp eq ptr {a}, null@\n"
        f"br i1 %rn{{n}}, label %{'ry' if null else 'rf'}{{n}}, label %rx{{n}}\nrx{{n}}:\n" + _KINDS[kind]
    )


def _tests() -> dict[str, str]:
    found = {}
    for kind in _KINDS:
        for null in ("", " null"):
            test = _test(kind, null)
            found[f"ref.test {kind}{null}"] = (
                test
                + "ry{n}:\nbr label %re{n}\nrf{n}:\nbr label %re{n}\nre{n}:\n{r} = phi i32 [ 1, %ry{n} ], [ 0, %rf{n} ]"
            )
            found[f"ref.cast {kind}{null}"] = test + "rf{n}:\n@TCAST_FAILURE\nry{n}:"
    return found


_TEMPLATES: Final[dict[str, str]] = {
    "struct.new": _allocate("{size}", "0"),
    "array.new_fixed": _allocate("{size}", "{length}"),
    "array.new_elem": _new_from_segment(3, elements=True),
    "array.init_elem": _init_from_segment(3, elements=True),
    "array.len": _array("{a}") + "{r} = add i32 %xlen{n}, 0@",
    "ref.eq": "%c{n} = icmp eq ptr {a}, {b}@\n{r} = zext i1 %c{n} to i32@",
    "ref.i31": "%xs{n} = shl i32 {a}, 1@\n%xo{n} = or i32 %xs{n}, 1@\n%xw{n} = zext i32 %xo{n} to i64@\n"
    "{r} = inttoptr i64 %xw{n} to ptr@",
    "i31.get_s": _not_null("{a}", "NULL_I31_REFERENCE")
    + "%xw{n} = ptrtoint ptr {a} to i64@\n%xi{n} = trunc i64 %xw{n} to i32@\n{r} = ashr i32 %xi{n}, 1@",
    "i31.get_u": _not_null("{a}", "NULL_I31_REFERENCE")
    + "%xw{n} = ptrtoint ptr {a} to i64@\n%xi{n} = trunc i64 %xw{n} to i32@\n{r} = lshr i32 %xi{n}, 1@",
    **_by_width(),
    **_tests(),
}

OBJECTS: Final[dict[str, str]] = {name: prepare(text) for name, text in _TEMPLATES.items()}
"""Templates by the name of the instruction, with the width or the kind that it is for."""


_MEMORY_TYPES: Final[dict[object, str]] = {
    PackedType.I8: "i8",
    PackedType.I16: "i16",
    I32: "i32",
    I64: "i64",
    F32: "float",
    F64: "double",
    V128_TYPE: "v128",
}


def memory_type(storage: StorageType) -> str:
    """What the templates call a field or an element in memory."""
    return "ptr" if isinstance(storage, RefType) else _MEMORY_TYPES[storage]


def value_type(memory: str) -> str:
    """The LLVM type of the operand that a field gives and takes, by what the templates call it."""
    return "i32" if memory in ("i8", "i16") else _TYPES[memory][0]


class Target(NamedTuple):
    """What a reference is tested for: the kind of test, as in the names of the templates, and its operands."""

    kind: str
    o: int
    place: int


_ABSTRACT: Final = {
    HeapType.ANY: "all",
    HeapType.EXTERN: "all",
    HeapType.FUNC: "all",
    HeapType.EXN: "all",
    HeapType.EQ: "eq",
    HeapType.I31: "i31",
    HeapType.STRUCT: "struct",
    HeapType.ARRAY: "array",
    HeapType.NONE: "none",
    HeapType.NOEXTERN: "none",
    HeapType.NOFUNC: "none",
    HeapType.NOEXN: "none",
}


def target_of(type_: RefType, model: ModuleModel, layout: VMLayout) -> Target:
    """What tells a value of the type from others of its hierarchy."""
    heap, null = type_.heap, " null" if type_.nullable else ""
    if isinstance(heap, HeapType):
        return Target(_ABSTRACT[heap] + null, 0, 0)
    defined = model.types[heap]
    if isinstance(defined.composite, FuncType):
        return Target("function" + null, layout.type_id(heap), 0)
    if defined.final:
        return Target("final" + null, layout.type_descriptor(heap), 0)
    depth = 0
    while defined.supertypes:
        defined = model.types[defined.supertypes[0]]
        depth += 1
    return Target("open" + null, layout.type_id(heap), L.TYPE_DISPLAY + 4 * depth)
