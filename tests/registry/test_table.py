"""`ModuleRegistry.dump`: every function with code, now, for people and for programs."""

from __future__ import annotations

import html.parser
from pathlib import Path

import pytest

import wasmark
from tests.counting import executed_lines
from tests.ways import config, run_cached
from wasmark.registry import ModuleRegistry

MODULE = """
(module $desk
  (func $half (param i32) (result i32) (i32.div_s (local.get 0) (i32.const 2)))
  (func (export "quarter") (param i32) (result i32) (call $half (call $half (local.get 0))))
  (func (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "\\n<b>never") unreachable))
"""


def store_of(way: str) -> tuple[wasmark.Store, wasmark.Instance]:
    module = wasmark.Module(MODULE, wasmark.Engine(config(way, cache=False)))  # which others may have filled
    store = wasmark.Store(module.engine)
    return store, wasmark.Instance(module, store=store)


def test_every_function_is_a_row() -> None:
    store, instance = store_of("eager")
    table = store.registry.dump()
    assert [(row.func_index, row.start, row.end) for row in table] == list(instance.module.finished_functions())
    assert [row.function for row in table] == ["half", "quarter", None, "\n<b>never"]
    assert {row.module for row in table} == {"desk"}
    assert {row.tier for row in table} == {"optimised"}
    # The second one calls, so it may run out of stack.
    assert [row.traps > 0 for row in table] == [False, True, True, True]
    assert all(row.size == row.end - row.start for row in table)
    assert table[1:3] == [table[1], table[2]]
    assert table[-1] == table[3]


@pytest.mark.parametrize(
    ("way", "tiers"),
    [
        ("baseline", {"first"}),
        ("lazy", {"thunk", "first"}),
        ("tier-up-at-once", {"thunk", "first", "optimised"}),
    ],
)
def test_code_of_several_tiers_is_there_at_once(way: str, tiers: set[str]) -> None:
    store, instance = store_of(way)
    assert instance.exports.quarter(-20) == -5
    rows = [row for row in store.registry.dump() if row.function == "half"]
    assert {row.tier for row in rows} == tiers
    ranges = store.registry.function_ranges(instance.module, 0)
    assert sorted(ranges) == [(row.start, row.end) for row in rows]
    for row in rows:
        for pc in range(row.start, row.end):
            frame = store.registry.lookup_frame_info(pc)
            assert frame is not None
            assert (frame.func_index, frame.func_name) == (0, "half")


def _rows(chosen: wasmark.Config) -> set[tuple[str | None, str, int]]:
    store = wasmark.Store(wasmark.Engine(chosen))
    instance = wasmark.Instance(wasmark.Module(MODULE, store.engine), store=store)
    for _ in range(5):
        assert instance.exports.quarter(-20) == -5
    return {(row.function, row.tier, row.traps) for row in store.registry.dump()}


@pytest.mark.parametrize("strategy", ["eager", "baseline"])
def test_code_out_of_the_cache_is_of_the_tier_that_it_was(strategy: str, tmp_path: Path) -> None:
    chosen = wasmark.Config(strategy=strategy, cache=tmp_path)
    assert _rows(chosen) == _rows(chosen)
    assert {tier for _, tier, _ in _rows(chosen)} == {"first" if strategy == "baseline" else "optimised"}


def test_lazy_code_out_of_the_cache_is_of_the_tier_that_it_was(tmp_path: Path) -> None:
    rows = run_cached(_rows, str(tmp_path))
    assert {tier for function, tier, _ in rows if function == "half"} == {"thunk", "first", "optimised"}


def test_code_is_listed_as_it_comes() -> None:
    store, instance = store_of("lazy")
    before = len(store.registry.dump())
    assert store.registry.function_ranges(instance.module, 3)[2:] == []
    with pytest.raises(wasmark.Trap) as caught:
        instance.exports["\n<b>never"]()
    assert len(store.registry.dump()) == before + 1
    ((start, end),) = store.registry.function_ranges(instance.module, 3)[2:]
    assert start <= caught.value.pc < end


def test_the_text_is_a_line_a_row_and_its_beginning_is_enough_for_a_prompt() -> None:
    store, _ = store_of("eager")
    table = store.registry.dump()
    head, rule, *rows = str(table).split("\n")
    assert head.split() == ["module", "function", "tier", "start", "end", "bytes", "traps"]
    assert set(rule) == {"-", " "}
    assert [row.split()[1] for row in rows] == ["half", "quarter", "func[2]", "\\n<b>never"]
    assert repr(table) == str(table)
    functions = "(func (result i32) (i32.const 1))" * 5_000
    module = wasmark.Module(f"(module {functions})", wasmark.Engine(config("baseline")))
    wasmark.Instance(module, store=(large := wasmark.Store(module.engine)))
    long = large.registry.dump()
    assert str(long).count("\n") == 5_001
    assert executed_lines(lambda: repr(long), at_most=20_000)
    assert repr(long).endswith("... and 4,980 more: print(...) shows all")


def test_in_a_notebook_no_name_is_markup() -> None:
    store, _ = store_of("eager")
    cells: list[str] = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            assert tag in ("table", "thead", "tbody", "tr", "th", "td")

        def handle_data(self, data: str) -> None:
            cells.append(data)

    Parser().feed(store.registry._repr_html_())
    assert "\n<b>never" in cells
    assert len(cells) == 5 * 7


def test_an_empty_registry_has_an_empty_table() -> None:
    table = ModuleRegistry().dump()
    assert (len(table), list(table)) == (0, [])
    assert len(str(table).split("\n")) == 2
    assert repr(ModuleRegistry()) == "<wasmark.ModuleRegistry of 0 modules: 0 code objects, 0 bytes>"


def test_asking_for_the_ranges_of_a_function_again_looks_at_new_code_only() -> None:
    functions = "".join(f'(func (export "f{n}") (result i32) (i32.const {n}))' for n in range(400))
    module = wasmark.Module(f"(module {functions})", wasmark.Engine(config("lazy")))
    store = wasmark.Store(module.engine)
    exports = wasmark.Instance(module, store=store).exports
    exports.f0()
    assert len(store.registry.function_ranges(module, 0)) == 3
    few = executed_lines(lambda: store.registry.function_ranges(module, 0))
    for n in range(1, 400):
        exports[f"f{n}"]()
    assert len(module.code_objects()) == 401
    assert len(store.registry.function_ranges(module, 399)) == 3
    assert executed_lines(lambda: store.registry.function_ranges(module, 0)) == few
