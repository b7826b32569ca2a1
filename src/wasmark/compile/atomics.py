"""What atomic instructions do (threads proposal), as templates that follow the address `%p{n}` of an access.

All are sequentially consistent. Where the address is not a multiple of the access's size, they trap; so that comes
first. An access out of bounds of a memory with guard pages faults like any other. Those that wait and notify are
functions of the host; they touch the memory before, for the same reason. What they pass on is an address of this
process: a shared memory has the same one in all threads and stores.
"""

from __future__ import annotations

from wasmark.compile.access import callee
from wasmark.compile.templates import prepare
from wasmark.core.features import Feature
from wasmark.core.opcodes import BY_NAME, OPCODES, Imm, Opcode
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.compile.function import FunctionTranslator

_ATOMIC: Final = tuple(op for op in OPCODES if op.feature is Feature.THREADS and op.imm is Imm.MEMARG)

_TYPES: Final = {"i": "i32", "I": "i64"}


def _aligned(size: int) -> str:
    """Trap unless `%p{n}`, which is as far from a whole page as the address, is a multiple of `size`."""
    if size == 1:
        return ""
    return (
        f"%al{{n}} = ptrtoint ptr %p{{n}} to i64@\n%am{{n}} = and i64 %al{{n}}, {size - 1}@\n"
        "%an{n} = icmp eq i64 %am{n}, 0@\nbr i1 %an{n}, label %ag{n}, label %at{n}, !prof !1\n"
        "at{n}:\n@TUNALIGNED_ATOMIC\nag{n}:\n"
    )


def _narrowed(name: str, operand: str, type_: str, memory: str) -> tuple[str, str]:
    """(text, value) of an operand as wide as what is in memory."""
    if type_ == memory:
        return "", operand
    return f"%{name}{{n}} = trunc {type_} {operand} to {memory}@\n", f"%{name}{{n}}"


def _widened(value: str, type_: str, memory: str) -> str:
    """The end of a template whose result is `value`, as wide as what was in memory."""
    if type_ == memory:
        return f"{{r}} = add {type_} {value}, 0@"
    return f"{{r}} = zext {memory} {value} to {type_}@"


def _load(type_: str, memory: str, size: int) -> str:
    return f"%o{{n}} = load atomic volatile {memory}, ptr %p{{n}} seq_cst, align {size}@M\n" + _widened(
        "%o{n}", type_, memory
    )


def _store(type_: str, memory: str, size: int) -> str:
    text, value = _narrowed("nv", "{b}", type_, memory)
    return text + f"store atomic volatile {memory} {value}, ptr %p{{n}} seq_cst, align {size}@M"


def _modify(action: str, type_: str, memory: str) -> str:
    text, value = _narrowed("nv", "{b}", type_, memory)
    return (
        text
        + f"%o{{n}} = atomicrmw volatile {action} ptr %p{{n}}, {memory} {value} seq_cst@M\n"
        + _widened("%o{n}", type_, memory)
    )


def _exchange(type_: str, memory: str, size: int) -> str:
    """What is expected is compared as a whole: where it does not fit, nothing is equal to it, and this is a load."""
    expected, old = _narrowed("x", "{b}", type_, memory)
    new, value = _narrowed("nv", "{c}", type_, memory)
    exchange = (
        f"%pair{{n}} = cmpxchg volatile ptr %p{{n}}, {memory} {old}, {memory} {value} seq_cst seq_cst@M\n"
        f"%o{{n}} = extractvalue {{{{ {memory}, i1 }}}} %pair{{n}}, 0@\n"
    )
    if type_ == memory:
        return expected + new + exchange + _widened("%o{n}", type_, memory)
    return (
        expected
        + new
        + f"%fits{{n}} = icmp ult {type_} {{b}}, {1 << 8 * size}@\nbr i1 %fits{{n}}, label %fx{{n}}, label %fl{{n}}\n"
        + f"fx{{n}}:\n{exchange}br label %fd{{n}}\n"
        + "fl{n}:\n"
        + f"%ol{{n}} = load atomic volatile {memory}, ptr %p{{n}} seq_cst, align {size}@M\nbr label %fd{{n}}\n"
        + f"fd{{n}}:\n%both{{n}} = phi {memory} [ %o{{n}}, %fx{{n}} ], [ %ol{{n}}, %fl{{n}} ]\n"
        + _widened("%both{n}", type_, memory)
    )


def _touch(memory: str, size: int) -> str:
    return f"%o{{n}} = load atomic volatile {memory}, ptr %p{{n}} seq_cst, align {size}@M\n"


def _wait(memory: str, size: int) -> str:
    value = "{b}" if memory == "i64" else "%wide{n}"
    return (
        _touch(memory, size)
        + ("" if memory == "i64" else "%wide{n} = zext i32 {b} to i64@\n")
        + callee(L.STORE_WAIT)
        + f"%w{{n}} = call i64 %code{{n}}(ptr %ctx{{n}}, ptr %p{{n}}, i64 {value}, i64 {{c}}, i64 {size})@\n"
        + "{r} = trunc i64 %w{n} to i32@"
    )


_NOTIFY: Final = (
    _touch("i32", 4)
    + "%wide{n} = zext i32 {b} to i64@\n"
    + callee(L.STORE_NOTIFY)
    + "%w{n} = call i64 %code{n}(ptr %ctx{n}, ptr %p{n}, i64 %wide{n})@\n{r} = trunc i64 %w{n} to i32@"
)


def _template(op: Opcode) -> str:
    assert op.sig is not None
    size = op.access
    memory = f"i{8 * size}"
    type_ = _TYPES[op.sig[-1] if op.sig[-1] != ":" else op.sig[-2]]
    action = op.name.removesuffix("_u").rpartition(".")[2].rstrip("0123456789")
    match action:
        case "load":
            text = _load(type_, memory, size)
        case "store":
            text = _store(type_, memory, size)
        case "cmpxchg":
            text = _exchange(type_, memory, size)
        case "wait":
            text = _wait(memory, size)
        case "notify":
            text = _NOTIFY
        case _:
            text = _modify(action, type_, memory)
    return prepare(_aligned(size) + text)


ATOMICS: Final[dict[str, str]] = {op.name: _template(op) for op in _ATOMIC}
"""Template of every atomic instruction that touches memory, by its text name."""

WAITS: Final = tuple(name for name in ATOMICS if ".wait" in name)
"""Those that trap where the memory is not shared."""

HOSTED: Final = frozenset({*WAITS, "memory.atomic.notify"})
"""Those that the host does."""

FENCE: Final = "fence seq_cst"
"""`atomic.fence`."""


def translate_atomic(translator: FunctionTranslator, row: Opcode, imm: tuple[int, int, int]) -> None:
    """Translate one of them in the optimising tier."""
    assert row.sig is not None
    params, result = row.sig.split(":")
    address, *operands = (value for _, value in translator.take(len(params)))
    translator.address(row, imm, address)
    if row.name in WAITS and not translator.model.memory_types[imm[1]].limits.shared:
        translator.fill(UNSHARED_WAITS[row.name], None, {}, same=True)
        translator.dead = True
        return
    names = {"vm": "%vm"} | dict(zip("bc", operands, strict=False))
    translator.fill(ATOMICS[row.name], _TYPES[result] if result else None, names, same=True)


def translate_fence(translator: FunctionTranslator, row: Opcode, imm: None) -> None:
    """Translate `atomic.fence` in the optimising tier."""
    translator.out.append(FENCE)


def _unshared(name: str) -> str:
    size = BY_NAME[name].access
    return prepare(_aligned(size) + _touch(f"i{8 * size}", size) + "@TEXPECTED_SHARED_MEMORY")


UNSHARED_WAITS: Final[dict[str, str]] = {name: _unshared(name) for name in WAITS}
"""What a wait does where the memory is not shared: the checks, and then it traps. What follows is dead."""
