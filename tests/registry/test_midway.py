"""Code that was compiled after its module had been registered: whoever looks it up while another one enters it gets the
same answer."""

from __future__ import annotations

import itertools

import wasmark
from tests.interruption import call_at
from tests.ways import config
from wasmark.registry import ModuleRegistry


def test_code_is_found_with_its_owner_or_not_yet_entered_but_never_without() -> None:
    engine = wasmark.Engine(config("first-tier", cache=False))
    answers = 0
    for step in itertools.count(1):
        module = wasmark.Module('(module (func (export "f") (param i32) (result i32) (local.get 0)))', engine)
        registry = ModuleRegistry()
        registry.register_module(module)
        assert wasmark.Instance(module).exports.f(3) == 3  # compiled, and not known to this registry
        _, pc, _ = max(module.finished_functions(), key=lambda row: row[1])
        seen: list[object] = []

        def look(registry: ModuleRegistry = registry, pc: int = pc, seen: list[object] = seen) -> None:
            frame = registry.lookup_frame_info(pc)
            seen += [frame is not None and frame.module, registry.lookup_module(pc)]
            seen += [frame.module for frame in registry.frames([pc])]

        if not call_at(lambda look=look: look(), step, ("registry/module_registry.py",), look):
            break
        assert seen == [module] * 6
        answers += 1
    assert answers > 20
