from __future__ import annotations

import pytest

from wasmark.binary import decode_module, encode_module
from wasmark.binary.names import module_name, read_names, write_names
from wasmark.core.model import ModuleModel, Names

from .build import custom, module

FULL = Names(module="m", functions={0: "f", 200: "größer"}, locals={0: {0: "a", 3: "b"}, 7: {}})
CONTENTS = write_names(FULL)
MODULE_PART = bytes.fromhex("00 02 01 6d")


def test_names_come_back() -> None:
    assert read_names(CONTENTS) == FULL


def test_no_names_are_no_bytes() -> None:
    assert write_names(Names()) == b""


def test_the_contents_are_those_of_the_specification() -> None:
    names = Names(module="m", functions={2: "f"}, locals={2: {1: "x"}})
    assert write_names(names).hex(" ") == "00 02 01 6d 01 04 01 02 01 66 02 06 01 02 01 01 01 78"


def test_a_module_gives_the_names_of_its_name_section() -> None:
    assert decode_module(module(custom(b"name", CONTENTS))).names == FULL


def test_the_first_name_section_counts() -> None:
    other = write_names(Names(module="other"))
    assert decode_module(module(custom(b"name", CONTENTS), custom(b"name", other))).names == FULL


def test_subsections_of_other_kinds_are_skipped() -> None:
    assert read_names(bytes.fromhex("0c 03 ff ff ff") + CONTENTS + bytes.fromhex("7f 00")) == FULL


@pytest.mark.parametrize(
    "broken",
    [
        "01",
        "01 05",
        "01 ff ff ff ff 0f",
        "01 80 80 80 80 80 00",
        "01 05 01 00 01 ff 00",
        "01 04 02 00 01 61",
        "01 03 ff ff 03",
        "02 03 01 00 01",
        "01 04 01 00 05 61",
    ],
)
def test_what_is_broken_ends_the_names_but_is_no_error(broken: str) -> None:
    names = decode_module(module(custom(b"name", MODULE_PART + bytes.fromhex(broken)))).names
    assert names == Names(module="m")


def test_any_cut_of_a_name_section_is_tolerated() -> None:
    for size in range(len(CONTENTS)):
        names = read_names(CONTENTS[:size])
        assert names.functions in ({}, FULL.functions)
        assert names.locals in ({}, FULL.locals)


def test_names_of_a_model_are_written_behind_everything() -> None:
    binary = encode_module(ModuleModel(names=FULL))
    assert binary == module(custom(b"name", CONTENTS))


def test_the_name_of_the_module_is_read_without_the_others() -> None:
    assert module_name(decode_module(encode_module(ModuleModel(names=FULL)))) == "m"
    assert module_name(decode_module(encode_module(ModuleModel(names=Names(functions={}))))) is None
    assert module_name(decode_module(encode_module(ModuleModel(names=Names(None, {0: "f"}))))) is None
