"""Module fields (core §6.6): every abbreviation, the order of the index spaces, and what is no module."""

from __future__ import annotations

import pytest

from tests.text.translate import body, const, model
from wasmark.core.model import ModuleModel
from wasmark.core.types import (
    EXTERNREF,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    ArrayType,
    FieldType,
    FuncType,
    GlobalType,
    HeapType,
    Limits,
    MemoryType,
    PackedType,
    RefType,
    StructType,
    SubType,
    TableType,
    TagType,
)
from wasmark.errors import MalformedError
from wasmark.text import parse_module

FUNCTION_REF = RefType.of(False, HeapType.FUNC)


def data(module: ModuleModel, index: int = 0) -> bytes:
    segment = module.data_segments[index]
    return bytes(module.data[segment.start : segment.end])


@pytest.mark.parametrize("text", ["", "(module)", "(module $m)", " ;; nothing\n", "(@other) (module (@x))"])
def test_the_empty_module(text: str) -> None:
    assert parse_module(text).types == []


def test_fields_without_a_module_around_them() -> None:
    assert len(model("(func) (memory 1) (func)").functions) == 2


def test_names_of_module_functions_and_locals_reach_the_name_section() -> None:
    module = model('(module $"m \\u{e9}" (import "a" "b" (func $i)) (func $f (param $x i32)) (func) (func $g))')
    assert module.names.module == "m é"
    assert module.names.functions == {0: "i", 1: "f", 3: "g"}
    assert module.names.locals == {1: {0: "x"}}


def test_names_may_be_used_before_they_are_bound() -> None:
    module = model("""
      (start $f) (export "f" (func $f)) (elem (table $t) (global.get $g) func $f) (func $f (call $h)) (func $h)
      (table $t 1 funcref) (global $g i32 (i32.const 0)) (export "g" (global $g))""")
    assert module.start == 0
    assert body(module, 0) == [("call", 1)]
    assert [(export.name, export.kind, export.index) for export in module.exports] == [
        ("f", "func", 0),
        ("g", "global", 0),
    ]


def test_implicit_types_come_last_in_order_of_use_and_are_shared() -> None:
    module = model("""
      (func (param i32)) (type $a (func (result i64))) (func (result i64) i64.const 0) (func (param i32))
      (type $b (func (param i32 i32))) (func (type $b) (block (param i64)))""")
    assert [str(type_.composite) for type_ in module.types] == [
        "[] -> [i64]",
        "[i32 i32] -> []",
        "[i32] -> []",
        "[i64] -> []",
    ]
    assert module.func_types == [2, 0, 2, 1]


def test_an_implicit_type_is_never_an_open_one_or_a_member_of_a_group() -> None:
    module = model("(type (sub (func))) (rec (type (func)) (type (func (param i32)))) (func)")
    assert module.func_types == [3]
    assert module.types[3] == SubType(FuncType((), ()))


def test_recursive_types_fields_and_supertypes() -> None:
    module = model("""
      (rec (type $s (sub (struct (field $x i8) (field (mut i32) v128) (field (ref null $a)))))
           (type $a (sub final $s (array (mut i16)))))
      (type $f (func (param $p anyref) (param $q eqref) (result (ref $s) (ref null none) i31ref)))""")
    assert module.rec_groups == [(0, 2), (2, 1)]
    struct, array, func = module.types
    assert struct == SubType(
        StructType(
            (
                FieldType(PackedType.I8, False),
                FieldType(I32, True),
                FieldType(V128, False),
                FieldType(RefType.of(True, 1), False),
            )
        ),
        (),
        False,
    )
    assert array == SubType(ArrayType(FieldType(PackedType.I16, True)), (0,), True)
    assert str(func.composite) == "[anyref eqref] -> [(ref 0) nullref i31ref]"


def test_imports_inline_and_not() -> None:
    module = model("""
      (import "m" "f" (func $f (param i32)))
      (func (export "x") (export "y") (import "m" "g") (result i32))
      (table $t (import "m" "t") 1 2 externref)
      (import "m" "n" (memory $n i64 1 2 shared))
      (memory (import "m" "o") 3)
      (global (export "z") (import "m" "h") (mut f64))
      (import "m" "i" (global i32))
      (tag (import "m" "e") (param i32))
      (func call 1 call $f)""")
    assert [(import_.name, import_.kind, import_.desc) for import_ in module.imports] == [
        ("f", "func", 0),
        ("g", "func", 1),
        ("t", "table", TableType(EXTERNREF, Limits(1, 2))),
        ("n", "memory", MemoryType(Limits(1, 2, True, True))),
        ("o", "memory", MemoryType(Limits(3))),
        ("h", "global", GlobalType(F64, True)),
        ("i", "global", GlobalType(I32, False)),
        ("e", "tag", TagType(0)),
    ]
    assert [(export.name, export.kind, export.index) for export in module.exports] == [
        ("x", "func", 1),
        ("y", "func", 1),
        ("z", "global", 0),
    ]
    assert body(module, 0) == [("call", 1), ("call", 0)]


def test_tables_have_types_limits_and_initial_elements() -> None:
    module = model("""
      (func $f) (table 1 funcref) (table i64 0x1_0 0xffff_ffff_ffff_ffff externref) (table 2 (ref func) (ref.func $f))
      (table $e i64 funcref (elem $f 0)) (table (ref null func) (elem (ref.func 0) (item ref.null func)))
      (elem $x func) (func elem.drop $x)""")
    assert [table.type for table in module.tables] == [
        TableType(FUNCREF, Limits(1)),
        TableType(EXTERNREF, Limits(16, (1 << 64) - 1, True)),
        TableType(FUNCTION_REF, Limits(2)),
        TableType(FUNCREF, Limits(2, 2, True)),
        TableType(FUNCREF, Limits(2, 2)),
    ]
    assert const(module, module.tables[2].init) == [("ref.func", 0)]
    first, second, _ = module.elements
    assert (first.mode, first.table, first.items) == ("active", 3, [0, 0])
    assert const(module, first.offset_expr) == [("i64.const", 0)]
    assert [const(module, item) for item in second.items] == [[("ref.func", 0)], [("ref.null", HeapType.FUNC)]]
    assert body(module) == [("elem.drop", 2)]


def test_memories_with_data() -> None:
    module = model("""
      (memory (data "a" "\\00b")) (data $d "x") (memory $m (export "m") i64 (data))
      (data (memory $m) (i64.const 1) "yz") (func data.drop $d)""")
    assert [memory.limits for memory in module.memories] == [Limits(1, 1), Limits(0, 0, True)]
    assert [(data(module, index), segment.memory) for index, segment in enumerate(module.data_segments)] == [
        (b"a\0b", 0),
        (b"x", None),
        (b"", 1),
        (b"yz", 1),
    ]
    assert const(module, module.data_segments[2].offset_expr) == [("i64.const", 0)]
    assert body(module) == [("data.drop", 1)]
    assert module.data_count == 4


def test_pages_of_another_size() -> None:
    module = model('(memory 1 2 (pagesize 1)) (memory (pagesize 1) (data "abc"))')
    assert module.memories == [MemoryType(Limits(1, 2), 0), MemoryType(Limits(3, 3), 0)]


def test_data_count_is_there_when_an_instruction_needs_it() -> None:
    assert model('(memory 1) (data "") (func)').data_count is None
    assert model('(memory 1) (data $d "") (func (data.drop $d))').data_count == 1


def test_globals_have_types_and_initialisers_folded_or_not() -> None:
    module = model('(global $a i32 (i32.const 1)) (global (export "b") (mut i64) i64.const 1 i64.const 2 i64.add)')
    assert [global_.type for global_ in module.globals] == [GlobalType(I32, False), GlobalType(I64, True)]
    assert const(module, module.globals[1].init) == [("i64.const", 1), ("i64.const", 2), ("i64.add", None)]


def test_element_segments_in_all_their_forms() -> None:
    module = model("""
      (func $f) (table $t 9 funcref) (table $u 9 funcref)
      (elem (i32.const 1) $f 0) (elem (offset i32.const 2) func $f)
      (elem (table $u) (i32.const 3) funcref (ref.func $f))
      (elem func $f) (elem declare func 0) (elem $n externref (item ref.null extern) (ref.null extern))
      (elem (ref func) (ref.func 0)) (elem (i32.const 4))""")
    found = [(segment.mode, segment.table, const(module, segment.offset_expr)) for segment in module.elements]
    assert found == [
        ("active", 0, [("i32.const", 1)]),
        ("active", 0, [("i32.const", 2)]),
        ("active", 1, [("i32.const", 3)]),
        ("passive", 0, None),
        ("declarative", 0, None),
        ("passive", 0, None),
        ("passive", 0, None),
        ("active", 0, [("i32.const", 4)]),
    ]
    assert [segment.type for segment in module.elements[:6]] == [
        FUNCTION_REF,
        FUNCTION_REF,
        FUNCREF,
        FUNCTION_REF,
        FUNCTION_REF,
        EXTERNREF,
    ]
    assert module.elements[0].items == [0, 0]
    assert len(module.elements[5].items) == 2


def test_tags_refer_to_types_that_are_there_or_made() -> None:
    module = model(
        '(type $t (func (param i32))) (tag $a (type $t)) (tag (export "b") (param i64)) (export "a" (tag $a))'
    )
    assert module.tags == [TagType(0), TagType(1)]
    assert [export.name for export in module.exports] == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("(", "unexpected token: end of text, expected a module field", (1, 2)),
        ("(module", "unexpected token: end of text, expected a module field or ')'", (1, 8)),
        ("(module\n(func", "unexpected token: end of text, expected ')' for this '('", (2, 1)),
        ("(module) x", "unknown operator x, expected the end of the text", (1, 10)),
        ("(module)\n(module)", "unexpected token (module, expected the end of the text", (2, 1)),
        ("(func))", "unexpected token ), expected a module field or the end of the text", (1, 7)),
        ("(module quote)", "unexpected token quote, expected a module field or ')'", (1, 9)),
        ("(fun)", "unknown operator fun, expected a module field", (1, 2)),
        ("(i32.add)", "unexpected token i32.add, expected a module field", (1, 2)),
        ("(func $f)\n (func $f)", "duplicate func $f", (2, 8)),
        ('(func $f) (func $"\\66")', "duplicate func $f", (1, 17)),
        ("(type $t (func)) (type $t (func))", "duplicate type $t", (1, 24)),
        ("(memory $m 1) (memory $m 1)", "duplicate memory $m", (1, 23)),
        ("(type (struct (field $x i32) (field $x i32)))", "duplicate field $x", (1, 37)),
        ('(func) (import "" "" (func))', "import after function", (1, 9)),
        ('(global i32 (i32.const 0)) (memory (import "" "") 1)', "import after global", (1, 37)),
        ("(type $t (func)) (func (type $t) (param i32))", "inline function type does not match explicit type", (1, 30)),
        ("(func (type 3) (param i32))", "unknown type 3", (1, 13)),
        ("(func (type 3) (local $x i32))", "unknown type 3", (1, 23)),
        ("(func (type $t))", "unknown type $t", (1, 13)),
        ("(start 0) (start 0)", "multiple start sections", (1, 12)),
        ('(export "a" (fun 0))', "unknown operator fun, expected 'func'", (1, 14)),
        ("(export a (func 0))", "unknown operator a, expected a name", (1, 9)),
        ('(export "\\ff" (func 0))', "malformed UTF-8 encoding", (1, 9)),
        ('(export "\\u{d800}" (func 0))', "malformed UTF-8 encoding", (1, 9)),
        ('(import "a" (func))', "unexpected token (func, expected a name", (1, 13)),
        ('(import "a" "b" (elem))', "unexpected token elem, expected 'func'", (1, 18)),
        ("(memory)", "unexpected token ), expected a size", (1, 8)),
        ("(memory 1 2 3)", "unexpected token 3, expected ')'", (1, 13)),
        ("(memory -1)", "unexpected token -1, expected a size", (1, 9)),
        ("(memory 0x1_0000_0000_0000_0000)", "i64 constant out of range", (1, 9)),
        ("(memory 1 (pagesize 3))", "invalid custom page size", (1, 21)),
        ("(table 1)", "unexpected token ), expected a reference type", (1, 9)),
        ("(table 1 i32)", "unexpected token i32, expected a reference type", (1, 10)),
        ("(table funcref)", "unexpected token ), expected '(elem'", (1, 15)),
        ("(global i32 (mut))", "unexpected token mut, expected an instruction", (1, 14)),
        ("(global (mut))", "unexpected token ), expected a value type", (1, 13)),
        ("(global anyfunc)", "unknown operator anyfunc, expected a value type", (1, 9)),
        ("(type (fun))", "unknown operator fun, expected 'func', 'struct' or 'array'", (1, 8)),
        ("(type func)", "unexpected token func, expected '(' and a function, structure or array type", (1, 7)),
        ("(type (func (result i32) (param i32)))", "unexpected token (param, expected ')'", (1, 26)),
        ("(type (func (param (ref 1000000))))", "unknown type 1000000", (1, 25)),
        ("(rec (func))", "unexpected token (func, expected ')' or a type definition", (1, 6)),
        ('(data 0 "")', "unexpected token 0, expected ')'", (1, 7)),
        ("(data (i32.const 0) x)", "unknown operator x, expected ')'", (1, 21)),
        ("(elem)", "unexpected token ), expected a reference type", (1, 6)),
        ("(elem declare $f)", "unexpected token $f, expected a reference type", (1, 15)),
        ("(elem funcref $f)", "unexpected token $f, expected ')'", (1, 15)),
        ('(func (import "a" "b") nop)', "unexpected token nop, expected ')'", (1, 24)),
        ("(func (export))", "unexpected token ), expected a name", (1, 14)),
        ('(data "a""b")', 'unknown operator "a""b", expected a string', (1, 7)),
        ("(func $)", "empty identifier", (1, 7)),
    ],
)
def test_what_is_no_module(text: str, message: str, position: tuple[int, int]) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_module(text)
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == position


def test_long_tokens_are_not_quoted_whole() -> None:
    for text in (
        "(func call $" + "x" * 100_000 + ")",
        "(func i32.const " + "9" * 100_000 + ")",
        "(" + "x" * 100_000 + ")",
    ):
        with pytest.raises(MalformedError) as caught:
            parse_module(text)
        assert len(str(caught.value)) < 200
