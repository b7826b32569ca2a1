"""The loader: every relocation it knows, symbols across objects and out of the image, and what it refuses."""

from __future__ import annotations

import ctypes
import gc
import random
import struct
import threading
import weakref

import pytest

from tests.registry.support import SEED_FUNCTIONS, IrWriter, compile_ir
from tests.runtime.elf_writer import (
    ABS,
    ALLOC,
    COMMON,
    COMPRESSED,
    EXEC,
    FUNC,
    LOCAL,
    NOBITS,
    NOTYPE,
    REL,
    TLS,
    WEAK,
    WRITE,
    Section,
    Symbol,
    write_object,
)
from wasmark.errors import Error
from wasmark.runtime import elf
from wasmark.runtime.code_memory import CodeMemory
from wasmark.runtime.elf import link
from wasmark.runtime.image import LoadedImage

TEXT = ALLOC | EXEC


def nowhere(name: str) -> int | None:
    return None


def words(address: int, count: int = 1) -> list[int]:
    return list((ctypes.c_uint64 * count).from_address(address))


def peek(address: int, format_: str) -> int:
    return struct.unpack(format_, ctypes.string_at(address, struct.calcsize(format_)))[0]


def constant(value: int) -> bytes:
    """`mov $value, %eax; ret`"""
    return b"\xb8" + struct.pack("<I", value) + b"\xc3"


def call(image: LoadedImage, name: str, *arguments: int) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_size_t] * len(arguments))(image.symbols[name][0])(*arguments)


def function(name: str, code: bytes, relocations: list[tuple[int, int, str, int]] = [], **more: int) -> bytes:  # noqa: B006
    """An object with one function."""
    return write_object(
        [Section(".text", code, TEXT, 16, relocations=relocations)],
        [Symbol(name, ".text", 0, len(code), **more)],
    )


# --- relocations -----------------------------------------------------------------------------------------------------


def test_each_relocation_is_applied_as_the_psabi_says() -> None:
    text = constant(7) + bytes(58)
    data = bytes(16)
    image = link(
        [
            write_object(
                [
                    Section(
                        ".text",
                        text,
                        TEXT,
                        16,
                        relocations=[
                            (8, elf.R_X86_64_64, "datum", 3),
                            (16, elf.R_X86_64_PC32, "datum", -4),
                            (20, elf.R_X86_64_PLT32, "f", -4),
                            (24, elf.R_X86_64_PC64, "datum", 5),
                            (32, elf.R_X86_64_32, "small", 1),
                            (36, elf.R_X86_64_32S, "largest", -0xFFFF_FFFF),
                            (40, elf.R_X86_64_GOTPCREL, "datum", -4),
                            (44, elf.R_X86_64_GOTPCRELX, "f", -4),
                            (48, elf.R_X86_64_REX_GOTPCRELX, "datum", -4),
                            (52, elf.R_X86_64_GOTPCREL, "hidden", -4),
                        ],
                    ),
                    Section(".rodata", data, ALLOC, 8),
                ],
                [
                    Symbol("f", ".text", 0, 6),
                    Symbol("datum", ".rodata", 8, 8, kind=1),
                    Symbol("small", ABS, 0xFFFF_FFF0, kind=NOTYPE),
                    Symbol("largest", ABS, 0x7FFF_FFFF, kind=NOTYPE),
                    Symbol("hidden", ".rodata", 4, 0, LOCAL, NOTYPE),
                ],
            )
        ],
        nowhere,
    )
    base, datum = image.text_start, image.code_memory.rodata_start + 8
    assert words(base + 8) == [datum + 3]
    assert peek(base + 16, "<i") == datum - 4 - (base + 16)
    assert peek(base + 20, "<i") == base - 4 - (base + 20)
    assert peek(base + 24, "<q") == datum + 5 - (base + 24)
    assert peek(base + 32, "<I") == 0xFFFF_FFF1
    assert peek(base + 36, "<i") == -0x8000_0000
    slots = [base + place + 4 + peek(base + place, "<i") for place in (40, 44, 48, 52)]
    assert slots[0] == slots[2]
    assert len(set(slots)) == 3
    assert [words(slot) for slot in slots] == [[datum], [base], [datum], [datum - 4]]
    assert all(slot % 8 == 0 and slot >= image.code_memory.rodata_start for slot in slots)
    assert call(image, "f") == 7


@pytest.mark.parametrize("reloc", ["pic", "static"])
def test_llvm_code_with_constants_tables_and_calls_runs(reloc: str) -> None:
    source = """
        @table = private unnamed_addr constant [2 x ptr] [ptr @one, ptr @two]
        @numbers = private unnamed_addr constant [4 x i32] [i32 10, i32 20, i32 30, i32 40]
        define i32 @one() { ret i32 1 }
        define i32 @two() { ret i32 2 }
        define i32 @main(i64 %i) {
          %p = getelementptr [2 x ptr], ptr @table, i64 0, i64 %i
          %f = load ptr, ptr %p
          %a = call i32 %f()
          %q = getelementptr [4 x i32], ptr @numbers, i64 0, i64 %i
          %b = load i32, ptr %q
          %d = sitofp i32 %b to double
          %e = fmul double %d, 1.5
          %c = fptosi double %e to i32
          %s = add i32 %a, %c
          switch i64 %i, label %end [ i64 0, label %c0
                                      i64 1, label %c1
                                      i64 2, label %c2
                                      i64 3, label %c3 ]
          c0: ret i32 %s
          c1: %s1 = mul i32 %s, 1000
              ret i32 %s1
          c2: ret i32 7
          c3: %s3 = call i32 @one()
              ret i32 %s3
          end: ret i32 -1
        }"""
    code = compile_ir(source, reloc=reloc)
    if reloc == "static":
        # Absolute 32-bit addresses cannot reach the arenas: that is said, not done wrongly.
        with pytest.raises(Error, match="does not reach"):
            link([code], nowhere)
        return
    image = link([code], nowhere)
    assert [call(image, "main", i) for i in (0, 1)] == [16, 32000]


def test_symbols_are_found_across_objects_in_any_order() -> None:
    user = b"\xe8\0\0\0\0\xff\xc0\xc3"  # call ?; inc %eax; ret
    first = function("first", b"\x55" + user[:-1] + b"\x5d\xc3", [(2, elf.R_X86_64_PLT32, "second", -4)])
    second = function("second", constant(41))
    for objects in ([first, second], [second, first]):
        image = link(objects, nowhere)
        assert call(image, "first") == 42
        assert image.veneers == {}
        assert set(image.symbols) == {"first", "second"}


def test_local_symbols_of_the_same_name_stay_apart() -> None:
    def one(name: str, value: int) -> bytes:
        return write_object(
            [
                Section(".text", b"\x48\x8b\x05\0\0\0\0\x8b\0\xc3", TEXT, 16, relocations=[(3, 41, "local", -4)]),
                Section(".rodata", struct.pack("<I", value), ALLOC, 4),
            ],
            [Symbol(name, ".text", 0, 10), Symbol("local", ".rodata", 0, 4, LOCAL, NOTYPE)],
        )

    image = link([one("a", 5), one("b", 6)], nowhere)
    assert (call(image, "a"), call(image, "b")) == (5, 6)


def test_functions_of_the_process_are_reached_through_veneers() -> None:
    libc = ctypes.CDLL(None)
    asked = []

    def resolve(name: str) -> int | None:
        asked.append(name)
        return ctypes.cast(getattr(libc, name), ctypes.c_void_p).value

    source = """
        declare i32 @abs(i32)
        declare i64 @labs(i64)
        define i32 @main(i32 %x) {
          %a = call i32 @abs(i32 %x)
          %b = call i32 @abs(i32 %a)
          %c = sext i32 %b to i64
          %d = sub i64 0, %c
          %e = call i64 @labs(i64 %d)
          %f = trunc i64 %e to i32
          ret i32 %f
        }"""
    image = link([compile_ir(source), compile_ir(source.replace("@main", "@other"))], resolve)
    assert sorted(asked) == ["abs", "labs"]
    assert call(image, "main", -5 & 0xFFFF_FFFF) == call(image, "other", -5 & 0xFFFF_FFFF) == 5
    assert set(image.veneers) == {"abs", "labs"}
    for address, size in image.veneers.values():
        assert image.symbols["other"][0] < address < address + size <= image.text_end


def test_the_address_of_something_in_the_process_comes_from_the_offset_table() -> None:
    variable = ctypes.c_int(99)
    source = "@v = external global i32\ndefine i32 @main() { %x = load i32, ptr @v\n ret i32 %x }"
    image = link([compile_ir(source)], lambda name: ctypes.addressof(variable) if name == "v" else None)
    assert call(image, "main") == 99
    variable.value = 100
    assert call(image, "main") == 100


def test_a_weak_definition_gives_way_and_a_weak_reference_may_stay_empty() -> None:
    weak, strong = function("f", constant(1), binding=WEAK), function("f", constant(2))
    for objects, value in [([weak, strong], 2), ([strong, weak], 2), ([weak], 1), ([weak, weak], 1)]:
        user = function("g", b"\xe9\0\0\0\0", [(1, elf.R_X86_64_PLT32, "f", -4)])
        image = link([user, *objects], nowhere)
        assert call(image, "f") == value
        assert call(image, "g") == value
    reference = write_object(
        [
            Section(".text", constant(0), TEXT),
            Section(".rodata", bytes(8), ALLOC, 8, relocations=[(0, elf.R_X86_64_64, "maybe", 0)]),
        ],
        [Symbol("maybe", binding=WEAK)],
    )
    image = link([reference], nowhere)
    assert words(image.code_memory.rodata_start) == [0]


def test_sections_keep_their_alignment() -> None:
    objects = [
        write_object(
            [Section(".text", constant(n), TEXT, 1 << n), Section(".rodata", bytes([n] * 3), ALLOC, 1 << (12 - n))],
            [Symbol(f"f{n}", ".text", 0, 6), Symbol(f"d{n}", ".rodata", kind=FUNC)],
        )
        for n in range(13)
    ]
    image = link(objects, nowhere)
    for n in range(13):
        assert image.symbols[f"f{n}"][0] % (1 << n) == 0
        assert image.symbols[f"d{n}"][0] % (1 << (12 - n)) == 0
        assert call(image, f"f{n}") == n
        assert ctypes.string_at(image.symbols[f"d{n}"][0], 3) == bytes([n] * 3)


def test_what_lies_between_functions_stops_who_runs_into_it() -> None:
    image = link([function("a", constant(1)), function("b", constant(2))], nowhere)
    memory = image.code_memory
    text = ctypes.string_at(memory.text_start, memory.rodata_start - memory.text_start or memory.size)
    assert text[:6] == constant(1)
    assert text[16:22] == constant(2)
    assert set(text[6:16] + text[22:]) == {0xCC}


def test_an_image_without_code_or_without_anything_is_one() -> None:
    image = link([], nowhere)
    assert image.text_start == image.text_end
    image = link([write_object([Section(".rodata", b"abc")])], nowhere)
    assert image.text_start == image.text_end
    assert ctypes.string_at(image.code_memory.rodata_start, 3) == b"abc"


def test_each_object_brings_its_line_table() -> None:
    def one(name: str) -> bytes:
        writer = IrWriter()
        writer.function(name, "div_s", 0x40)
        return compile_ir(writer.source())

    image = link([one("a"), function("plain", constant(3)), one("b")], nowhere)
    starts = [source.start for source in image.line_sources]
    assert starts == [image.symbols["a"][0], image.symbols["b"][0]]
    for source in image.line_sources:
        assert struct.pack("<Q", source.start - source.bias) in source.program
        assert source.end <= image.text_end


# --- refusals --------------------------------------------------------------------------------------------------------


def _writable(name: str, kind: int = 1) -> bytes:
    return write_object([Section(name, bytes(8), ALLOC | WRITE, 8, kind)])


def _with(relocation: tuple[int, int, str, int], *symbols: Symbol) -> bytes:
    return write_object([Section(".text", bytes(16), TEXT, relocations=[relocation])], list(symbols))


GOOD = function("f", constant(1))


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([b""], "not a 64-bit"),
        ([b"\x7fELF"], "not a 64-bit"),
        ([b"\x7fELF\1" + GOOD[5:]], "not a 64-bit"),
        ([b"\x7fELF\2\2" + GOOD[6:]], "not a 64-bit"),
        ([GOOD[:64]], "outside of the file"),
        ([GOOD[:-1]], "outside of the file"),
        ([write_object([], kind=3)], "not a relocatable object"),
        ([write_object([], machine=183)], "not a relocatable object"),
        ([GOOD, GOOD], "'f' is defined twice, in objects 0 and 1"),
        ([_writable(".data")], "'.data' is writable data"),
        ([_writable(".bss", NOBITS)], "'.bss' is writable data"),
        ([write_object([Section(".tdata", b"x", ALLOC | WRITE | TLS)])], "thread-local"),
        ([write_object([Section(".rodata", b"x", ALLOC | COMPRESSED)])], "no plain contents"),
        ([write_object([Section(".rodata", b"x", ALLOC, kind=NOBITS)])], "no plain contents"),
        ([write_object([Section(".rodata", b"x", ALLOC, 3)])], "alignment of 3"),
        ([write_object([Section(".rodata", b"x", ALLOC, 8192)])], "alignment of 8192"),
        ([_with((0, elf.R_X86_64_PLT32, "gone", -4))], "'gone' is not defined"),
        ([_with((0, 5, "f", 0), Symbol("f", ".text"))], "unknown relocation type 5"),
        ([_with((13, elf.R_X86_64_PC32, "f", 0), Symbol("f", ".text"))], "outside of section '.text'"),
        ([_with((9, elf.R_X86_64_64, "f", 0), Symbol("f", ".text"))], "outside of section '.text'"),
        ([_with((0, elf.R_X86_64_PC32, "f", 0), Symbol("f", ABS))], "does not reach 'f'"),
        ([_with((0, elf.R_X86_64_32, "f", 0), Symbol("f", ".text"))], "does not reach 'f'"),
        ([_with((0, elf.R_X86_64_32, "f", -1), Symbol("f", ABS))], "does not reach 'f'"),
        ([_with((0, elf.R_X86_64_PC32, "f", 1 << 31), Symbol("f", ".text"))], "does not reach 'f'"),
        ([_with((0, elf.R_X86_64_PC32, "f", 0), Symbol("f", COMMON))], "reserved section 0xfff2"),
        ([_with((0, elf.R_X86_64_PC32, "f", 0), Symbol("f", 77))], "missing section 0x4d"),
        (
            [write_object([Section(".text", bytes(8), TEXT, relocations=[(0, 1, "f", 0)], rela_kind=REL)])],
            "unknown form|not defined",
        ),
    ],
)
def test_bad_objects_are_clear_errors_and_cost_no_memory(
    objects: list[bytes], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    reserve = CodeMemory._reserve
    here = threading.get_ident()  # a compiler in the background may take memory, too

    def recording(text_size: int, rodata_size: int) -> CodeMemory:
        memory = reserve(text_size, rodata_size)
        if threading.get_ident() == here:
            taken.append((weakref.ref(memory), memory._grant))
        return memory

    monkeypatch.setattr(CodeMemory, "_reserve", staticmethod(recording))
    link([GOOD], nowhere)
    assert taken
    with pytest.raises(Error, match=message):
        link(objects, nowhere)
    gc.collect()
    assert [(memory(), grant) for memory, grant in taken] == [(None, [])] * len(taken)


def test_damage_anywhere_is_an_error_or_an_image() -> None:
    writer = IrWriter()
    for number, kind in enumerate(SEED_FUNCTIONS):
        writer.function(f"f{number}", kind, 0x40 + 0x20 * number)
    good = [
        compile_ir(writer.source()),
        compile_ir(
            "declare double @floor(double)\ndefine double @g(double %x) { %y = call double @floor(double %x)\n"
            "%z = fmul double %y, 1.25\nret double %z }"
        ),
    ]
    rng = random.Random(11)
    outcomes = {True: 0, False: 0}
    for round_ in range(3000):
        data = bytearray(good[round_ % 2])
        for _ in range(rng.randint(1, 4)):
            # Headers, symbols and relocations lie behind the contents; damage there is what matters most.
            place = rng.randrange(64) if rng.random() < 0.2 else rng.randrange(len(data) // 2, len(data))
            data[place] = rng.choice([0, 1, 0x7F, 0xFF, rng.randrange(256), data[place] ^ 1 << rng.randrange(8)])
        if rng.random() < 0.1:
            del data[rng.randrange(len(data)) :]
        try:
            link([bytes(data)], lambda name: 0x1000 if name == "floor" else None)
            outcomes[True] += 1
        except Error:
            outcomes[False] += 1
    assert min(outcomes.values()) > 100
