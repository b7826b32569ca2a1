"""The modules of the official tests: the invalid ones are refused in the suite's words, the others are accepted.

Only validation is looked at; `tests/spec` runs the scripts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmark.binary import decode_body, decode_module
from wasmark.errors import InvalidError, UnsupportedError
from wasmark.text.script import AssertModule, Command, DefineModule, ModuleSource, parse_script
from wasmark.validate import validate_module

SUITE = Path(__file__).parents[3] / "shared" / "testsuite"

# What has no instructions in the table yet. Other files may use some such instruction; those modules are skipped.
LATER = ("simd_", "i8x16_relaxed", "i16x8_relaxed", "i32x4_relaxed", "relaxed_")

SCRIPTS = sorted(path for path in SUITE.glob("*.wast") if not path.name.startswith(LATER))

pytestmark = pytest.mark.skipif(not SCRIPTS, reason="the official testsuite is not beside the repository")


def validate(source: ModuleSource) -> None:
    model = decode_module(source.binary())
    validator = validate_module(model)
    for index, function in enumerate(model.functions):
        validator.validate_body(index, decode_body(model, function.start, function.end))


def modules(commands: list[Command], kinds: tuple[str, ...]) -> Iterator[tuple[int, ModuleSource, str]]:
    """Line, source and expected message of the modules of a script."""
    for command in commands:
        if isinstance(command, AssertModule) and command.kind in kinds and isinstance(command.module, ModuleSource):
            yield command.line, command.module, command.message
        elif isinstance(command, DefineModule) and "defined" in kinds:
            yield command.line, command.source, ""


def commands_of(path: Path) -> list[Command]:
    return parse_script(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_invalid_modules_are_refused_in_the_words_of_the_suite(path: Path) -> None:
    wrong = []
    for line, source, message in modules(commands_of(path), ("invalid",)):
        try:
            validate(source)
        except UnsupportedError:
            continue
        except InvalidError as error:
            # A few of them say what is wrong in the words of one engine.
            if not error.message.startswith(message.partition(": instruction requires")[0]):
                wrong.append(f"{path.name}:{line}: expected {message!r}, got {error.message!r}")
            if error.offset is None:
                wrong.append(f"{path.name}:{line}: {error.message!r} has no offset")
        else:
            wrong.append(f"{path.name}:{line}: expected {message!r}, but the module is accepted")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_modules_that_run_or_fail_later_are_accepted(path: Path) -> None:
    wrong = []
    for line, source, _ in modules(commands_of(path), ("defined", "unlinkable", "trap")):
        try:
            validate(source)
        except UnsupportedError:
            continue
        except InvalidError as error:
            wrong.append(f"{path.name}:{line}: {error}")
    assert not wrong, "\n".join(wrong)


def test_few_invalid_modules_wait_for_later_features() -> None:
    """What the tests above skip is the smaller part: this fails if a decoder that gives up too early hides the rest."""
    checked = later = 0
    for path in SCRIPTS:
        for _, source, _ in modules(commands_of(path), ("invalid",)):
            try:
                validate(source)
            except UnsupportedError:
                later += 1
            except InvalidError:
                checked += 1
    assert checked > 1900
    assert later < 100
