"""Components for these tests, made from the rows of `worlds.py`: each imports interfaces and exports every function of
them as one of its own, which calls the import through the canonical ABI, both ways. Borrowed handles are dropped when
it returns. `drop-NAME` drops a resource. `open-resources` is how many handles it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmark import Component
from wasmark.component import types as T  # noqa: N812 - as the package itself has it
from wasmark.component.abi.layout import LAYOUTS
from wasmark.component.binary import encode_component
from wasmark.component.naming import parse_name
from wasmark.component.text import parse_component

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.wasi.p2.worlds import Interface

LIBRARY = """
  (core module $Library
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 16))
    (func $realloc (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32)
      (result i32) (local $at i32) (local $pages i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get $new)))
      (local.set $pages (i32.sub
        (i32.shr_u (i32.add (global.get $next) (i32.const 0xffff)) (i32.const 16)) (memory.size)))
      (if (i32.gt_s (local.get $pages) (i32.const 0))
        (then (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then unreachable))))
      (if (local.get $size)
        (then (memory.copy (local.get $at) (local.get $old) (local.get $size))))
      (local.get $at))
    (func (export "forget") (global.set $next (i32.const 16))))
  (core instance $library (instantiate $Library))
  (alias core export $library "memory" (core memory $memory))
  (alias core export $library "realloc" (core func $realloc))
  (alias core export $library "forget" (core func $forget))
  (func $forgetting (canon lift (core func $forget)))
  (export "forget" (func $forgetting))
"""
OPTIONS = "(memory (core memory $memory)) (realloc (core func $realloc))"


def export_name(function: str) -> str:
    """What a function is exported as: `[method]descriptor.stat` as `descriptor-stat`."""
    kind, resource, label = parse_name(function)
    return f"{resource}-{label}" if kind else label


def binary(interfaces: Sequence[Interface], version: str = "@0.2.0") -> bytes:
    """The component. Functions that two interfaces have by one name are exported with the interface's in front."""
    imports = "".join(_import(each, version) for each in interfaces)
    types = Component(encode_component(parse_component(f"(component $C {imports})"))).checked.type.imports
    labels = [export_name(function) for each in interfaces for function in each.functions]
    lowers, core, exports, fields, lifts = [], [], [], [], []
    dropped: set[str] = set()
    for interface in interfaces:
        names = types[interface.name + (version if interface.name != "wasi:logging/logging" else "")]
        assert isinstance(names, T.InstanceType)
        for name, text in interface.types.items():
            if text == "(sub resource)":
                dropped.add(name)
        for function, text in interface.functions.items():
            type_ = names.exports[function]
            assert isinstance(type_, T.FuncType)
            label = export_name(function)
            if labels.count(label) > 1:
                label = f"{interface.name.rpartition('/')[2]}-{label}"
            lowers.append(
                f'(alias export ${interface.name} "{function}" (func $f-{label}))'
                f"(core func $c-{label} (canon lower (func $f-{label}) {OPTIONS}))"
            )
            fields.append(f'(export "{label}" (func $c-{label}))')
            core.append(_import_core(label, type_))
            exports.append(_trampoline(label, type_))
            lifts.append(
                f'(alias core export $trampolines "{label}" (core func $t-{label}))'
                f"(func $l-{label} {text} (canon lift (core func $t-{label}) {OPTIONS}))"
                f'(export "{label}" (func $l-{label}))'
            )
    for name in sorted(dropped):
        lowers.append(f"(core func $drop-{name} (canon resource.drop ${name}))")
        fields.append(f'(export "drop-{name}" (func $drop-{name}))')
        core.append(f'(import "host" "drop-{name}" (func $drop-{name} (param i32)))')
        exports.append(f'(func (export "drop-{name}") (param i32) (call $drop-{name} (local.get 0)))')
        lifts.append(
            f'(alias core export $trampolines "drop-{name}" (core func $t-drop-{name}))'
            f'(func $l-drop-{name} (param "it" (own ${name})) (canon lift (core func $t-drop-{name})))'
            f'(export "drop-{name}" (func $l-drop-{name}))'
        )
    text = f"""(component $C {imports} {LIBRARY} {"".join(lowers)}
      (core module $Trampolines
        (import "library" "memory" (memory 1))
        (import "library" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
        {"".join(core)} {"".join(exports)}
        (func (export "trap") unreachable))
      (core instance $trampolines (instantiate $Trampolines
        (with "library" (instance $library)) (with "host" (instance {"".join(fields)}))))
      {"".join(lifts)}
      (alias core export $trampolines "trap" (core func $trap))
      (func $trapping (canon lift (core func $trap)))
      (export "trap" (func $trapping)))"""
    return encode_component(parse_component(text))


def _import(interface: Interface, version: str) -> str:
    inner = [
        f'(alias outer $C ${name} (type $of-{name})) (export "{name}" (type ${name} (eq $of-{name})))'
        for name in interface.uses
    ]
    for name, text in interface.types.items():
        if text == "(sub resource)":
            inner.append(f'(export "{name}" (type ${name} {text}))')
        else:
            inner.append(f'(type $of-{name} {text}) (export "{name}" (type ${name} (eq $of-{name})))')
    inner += [f'(export "{name}" (func {text}))' for name, text in interface.functions.items()]
    full = interface.name + (version if interface.name != "wasi:logging/logging" else "")
    out = [f'(alias export ${interface.name} "{name}" (type ${name}))' for name in interface.types]
    return f'(import "{full}" (instance ${interface.name} {" ".join(inner)})) {" ".join(out)}\n'


def _flat(type_: T.FuncType) -> tuple[list[str], str, bool]:
    """The core parameters, the core result, and whether the lowered function puts that in memory."""
    layout = LAYOUTS[4]
    params = list(layout.flat_all([part for _, part in type_.params]))
    if type_.result is None:
        return params, "", False
    results = layout.flat(type_.result)
    return (params, "i32", True) if len(results) > 1 else (params, results[0], False)


def _import_core(label: str, type_: T.FuncType) -> str:
    params, result, is_pointer = _flat(type_)
    out = "" if is_pointer or not result else f"(result {result})"
    core = " ".join([*params, *["i32"] * is_pointer])
    return f'(import "host" "{label}" (func $c-{label} (param {core}) {out}))'


def _trampoline(label: str, type_: T.FuncType) -> str:
    layout = LAYOUTS[4]
    params, result, is_pointer = _flat(type_)
    out = f"(result {result})" if result else ""
    local = f"(local $r {result})" if result else ""
    args = " ".join(f"(local.get {number})" for number in range(len(params)))
    before = f"(local.set $r (call $realloc {'(i32.const 0) ' * 3} (i32.const 256)))" if is_pointer else ""
    call = f"(call $c-{label} {args} {'(local.get $r)' if is_pointer else ''})"
    if result and not is_pointer:
        call = f"(local.set $r {call})"
    drops, at = [], 0
    for _, part in type_.params:
        if isinstance(part, T.Borrow):
            drops.append(f"(call $drop-{part.resource.name} (local.get {at}))")
        elif isinstance(part, T.List) and isinstance(part.element, T.Borrow):
            drops.append(f"""(block $done (loop $next
              (br_if $done (i32.eqz (local.get {at + 1})))
              (call $drop-{part.element.resource.name} (i32.load (local.get {at})))
              (local.set {at} (i32.add (local.get {at}) (i32.const 4)))
              (local.set {at + 1} (i32.sub (local.get {at + 1}) (i32.const 1)))
              (br $next)))""")
        at += len(layout.flat(part))
    back = "(local.get $r)" if result else ""
    return f'(func (export "{label}") (param {" ".join(params)}) {out} {local} {before} {call} {"".join(drops)} {back})'
