"""The stubs between Python and wasm that only depend on a signature (see `abi`), as LLVM IR.

trampoline   called from outside with a buffer of 8-byte slots, calls a wasm function with them; its results replace the
             arguments.
call stub    the vectorcall function of `wasmark.Func`: takes Python objects, runs the trampoline, makes a Python object
             of the results. It handles what is ordinary (exact ints, floats and bytes, as many as wanted); anything
             else goes to `wasmark_call_slow`, where Python finds the right error or the right conversion.
host stub    a wasm-callable function that calls a Python object with its arguments and takes its result apart.

Signatures with references, or with very many values, have no call stub, and a host stub that hands over slots to a
Python dispatcher.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmark.compile.abi import (
    LETTER_TO_LLVM,
    call_stub_symbol,
    host_stub_symbol,
    is_plain,
    result_type,
    slot_places,
    split_signature,
    trampoline_symbol,
)
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table

if TYPE_CHECKING:
    from collections.abc import Iterable

_V128: Final = LETTER_TO_LLVM["v"]

ATTRIBUTES: Final = 'attributes #2 = { nounwind "frame-pointer"="all" }\n'

_DECLARATIONS: Final = """\
declare void @wasmark_host_call(ptr, ptr)
declare void @wasmark_leave_wasm(ptr, ptr)
declare void @wasmark_back_to_wasm(ptr)
declare void @wasmark_raise(ptr) noreturn
declare i1 @wasmark_convert(ptr, ptr, ptr)
declare i32 @wasmark_enter(ptr, ptr, ptr, ptr, ptr)
declare ptr @wasmark_call_slow(ptr, ptr, i64, ptr)
declare ptr @wasmark_raise_trap(ptr)
declare ptr @llvm.frameaddress.p0(i32 immarg)
declare i64 @PyLong_AsLongLong(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare double @PyFloat_AsDouble(ptr)
declare ptr @PyFloat_FromDouble(double)
declare ptr @PyErr_Occurred()
declare void @PyErr_Clear()
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
@PyLong_Type = external global i8
declare i64 @PyBytes_Size(ptr)
declare ptr @PyBytes_AsString(ptr)
declare ptr @PyBytes_FromStringAndSize(ptr, i64)
@PyFloat_Type = external global i8
@PyBytes_Type = external global i8
@_Py_NoneStruct = external global i8
"""


_ALIGNED: Final = f", align {L.SLOT_SIZE}"


def _slot_total(*rows: list[str]) -> int:
    """How many slots there have to be for the longest of these rows of values, at least one."""
    return max(1, *(slot_places(types)[-1] for types in rows))


def _slot(name: str, buffer: str, index: int) -> str:
    return f"{name} = getelementptr i8, ptr {buffer}, i64 {L.SLOT_SIZE * index}\n"


def _unpack(value: str, types: list[str], result: str, buffer: str) -> str:
    """Store the results of a call, packed in `value`, into the slots."""
    if len(types) == 1:
        return _slot("%r0", buffer, 0) + f"store {types[0]} {value}, ptr %r0{_ALIGNED}\n"
    return "".join(
        _slot(f"%r{i}", buffer, at)
        + f"%x{i} = extractvalue {result} {value}, {i}\nstore {type_} %x{i}, ptr %r{i}{_ALIGNED}\n"
        for i, (type_, at) in enumerate(zip(types, slot_places(types), strict=False))
    )


def _pack(types: list[str], buffer: str) -> str:
    """Return what the slots hold as the results of a function."""
    if not types:
        return "ret void\n"
    body = "".join(
        _slot(f"%o{i}", buffer, at) + f"%y{i} = load {t}, ptr %o{i}{_ALIGNED}\n"
        for i, (t, at) in enumerate(zip(types, slot_places(types), strict=False))
    )
    if len(types) == 1:
        return body + f"ret {types[0]} %y0\n"
    returns = result_type(types)
    value = "poison"
    for i, type_ in enumerate(types):
        body += f"%z{i} = insertvalue {returns} {value}, {type_} %y{i}, {i}\n"
        value = f"%z{i}"
    return body + f"ret {returns} {value}\n"


def trampoline(signature: str) -> str:
    """IR of `void trampoline(ptr context, ptr code, ptr slots)`."""
    params, results = split_signature(signature)
    body = "".join(
        _slot(f"%p{i}", "%slots", at) + f"%a{i} = load {t}, ptr %p{i}{_ALIGNED}\n"
        for i, (t, at) in enumerate(zip(params, slot_places(params), strict=False))
    )
    arguments = "".join(f", {t} %a{i}" for i, t in enumerate(params))
    returns = result_type(results)
    call = f"call {returns} %code(ptr %context{arguments})\n"
    body += f"%value = {call}" + _unpack("%value", results, returns, "%slots") if results else call
    symbol = trampoline_symbol(signature)
    return f'define void @"{symbol}"(ptr %context, ptr %code, ptr %slots) #2 {{\n{body}ret void\n}}\n'


def _to_native(type_: str, object_: str, tag: str, fail: str) -> str:
    """Convert an exact int or float to `%n<tag>`; branch to `fail` where it is none, or does not fit."""
    if type_ == _V128:
        return _bytes_to_native(object_, tag, fail)
    python, convert = ("PyFloat", "double @PyFloat_AsDouble")
    if type_ in ("i32", "i64"):
        python, convert = ("PyLong", "i64 @PyLong_AsLongLong")
    text = (
        f"%tp{tag} = getelementptr i8, ptr {object_}, i64 {L.OBJECT_TYPE}\n%ty{tag} = load ptr, ptr %tp{tag}\n"
        f"%is{tag} = icmp eq ptr %ty{tag}, @{python}_Type\nbr i1 %is{tag}, label %exact{tag}, label %{fail}\n"
        f"exact{tag}:\n%c{tag} = call {convert}(ptr {object_})\n"
    )
    if type_ == "double":
        return text + f"%n{tag} = bitcast double %c{tag} to double\n"
    if type_ == "float":
        return text + f"%n{tag} = fptrunc double %c{tag} to float\n"
    text += (
        f"%m{tag} = icmp eq i64 %c{tag}, -1\nbr i1 %m{tag}, label %ask{tag}, label %whole{tag}\n"
        f"ask{tag}:\n%e{tag} = call ptr @PyErr_Occurred()\n%ok{tag} = icmp eq ptr %e{tag}, null\n"
        f"br i1 %ok{tag}, label %whole{tag}, label %clear{tag}\n"
        f"clear{tag}:\ncall void @PyErr_Clear()\nbr label %{fail}\nwhole{tag}:\n"
    )
    if type_ == "i64":
        return text + f"%n{tag} = bitcast i64 %c{tag} to i64\n"
    return text + (  # from -2^31 to 2^32 - 1: both readings of 32 bits
        f"%up{tag} = add i64 %c{tag}, 2147483648\n%in{tag} = icmp ult i64 %up{tag}, 6442450944\n"
        f"br i1 %in{tag}, label %fits{tag}, label %{fail}\nfits{tag}:\n%n{tag} = trunc i64 %c{tag} to i32\n"
    )


def _bytes_to_native(object_: str, tag: str, fail: str) -> str:
    """The same for a v128 and exact bytes."""
    return (
        f"%tp{tag} = getelementptr i8, ptr {object_}, i64 {L.OBJECT_TYPE}\n%ty{tag} = load ptr, ptr %tp{tag}\n"
        f"%is{tag} = icmp eq ptr %ty{tag}, @PyBytes_Type\nbr i1 %is{tag}, label %exact{tag}, label %{fail}\n"
        f"exact{tag}:\n%size{tag} = call i64 @PyBytes_Size(ptr {object_})\n"
        f"%in{tag} = icmp eq i64 %size{tag}, 16\nbr i1 %in{tag}, label %fits{tag}, label %{fail}\n"
        f"fits{tag}:\n%at{tag} = call ptr @PyBytes_AsString(ptr {object_})\n"
        f"%n{tag} = load {_V128}, ptr %at{tag}, align 1\n"
    )


def _to_python(type_: str, value: str, tag: str) -> str:
    """Make `%py<tag>` of a number or vector; it can be null (no memory)."""
    if type_ == _V128:
        return (
            f"store {_V128} {value}, ptr %spill\n%py{tag} = call ptr @PyBytes_FromStringAndSize(ptr %spill, i64 16)\n"
        )
    if type_ == "i64":
        return f"%py{tag} = call ptr @PyLong_FromLongLong(i64 {value})\n"
    if type_ == "i32":
        return f"%w{tag} = sext i32 {value} to i64\n%py{tag} = call ptr @PyLong_FromLongLong(i64 %w{tag})\n"
    if type_ == "double":
        return f"%py{tag} = call ptr @PyFloat_FromDouble(double {value})\n"
    return f"%w{tag} = fpext float {value} to double\n%py{tag} = call ptr @PyFloat_FromDouble(double %w{tag})\n"


def _spill(types: list[str]) -> str:
    """A place in memory for `_to_python`, where one of these types needs it."""
    return f"%spill = alloca {_V128}\n" if _V128 in types else ""


def call_stub(signature: str) -> str:
    """IR of the vectorcall function `PyObject *call(PyObject *func, PyObject **args, size_t nargsf, PyObject
    *names)`."""
    params, results = split_signature(signature)
    body = _spill(results) + (
        f"%slots = alloca [{_slot_total(params, results)} x i64]\n"
        "%count = and i64 %nargsf, 9223372036854775807\n"
        f"%right = icmp eq i64 %count, {len(params)}\n%unnamed = icmp eq ptr %names, null\n"
        "%usual = and i1 %right, %unnamed\nbr i1 %usual, label %take, label %slow\ntake:\n"
    )
    for i, (type_, at) in enumerate(zip(params, slot_places(params), strict=False)):
        body += f"%ap{i} = getelementptr ptr, ptr %args, i64 {i}\n%a{i} = load ptr, ptr %ap{i}\n"
        body += _to_native(type_, f"%a{i}", f".a{i}", "slow")
        body += _slot(f"%s{i}", "%slots", at) + f"store {type_} %n.a{i}, ptr %s{i}{_ALIGNED}\n"
    for name, offset in (("store", L.FUNC_STORE), ("code", L.FUNC_CODE), ("context", L.FUNC_CONTEXT)):
        body += f"%f.{name} = getelementptr i8, ptr %func, i64 {offset}\n%{name} = load ptr, ptr %f.{name}\n"
    body += (
        f'%status = call i32 @wasmark_enter(ptr %store, ptr @"{trampoline_symbol(signature)}", ptr %code, '
        f"ptr %context, ptr %slots)\nswitch i32 %status, label %slow [ i32 {L.STATUS_RETURNED}, label %returned "
        f"i32 {L.STATUS_TRAPPED}, label %trapped i32 {L.STATUS_RAISED}, label %raised ]\nreturned:\n"
    )
    for i, (type_, at) in enumerate(zip(results, slot_places(results), strict=False)):
        body += _slot(f"%r{i}", "%slots", at) + f"%x{i} = load {type_}, ptr %r{i}{_ALIGNED}\n"
        body += _to_python(type_, f"%x{i}", f".r{i}")
    if not results:
        body += "call void @Py_IncRef(ptr @_Py_NoneStruct)\nret ptr @_Py_NoneStruct\n"
    elif len(results) == 1:
        body += "ret ptr %py.r0\n"
    else:
        # A tuple with a null in it is what PyTuple_SetItem makes of a failed conversion: look at them first.
        ok = "true"
        for i in range(len(results)):
            body += f"%good{i} = icmp ne ptr %py.r{i}, null\n%all{i} = and i1 {ok}, %good{i}\n"
            ok = f"%all{i}"
        body += f"br i1 {ok}, label %gather, label %raised\ngather:\n"
        body += f"%tuple = call ptr @PyTuple_New(i64 {len(results)})\n%made = icmp ne ptr %tuple, null\n"
        body += "br i1 %made, label %fill, label %raised\nfill:\n"
        for i in range(len(results)):
            body += f"%set{i} = call i32 @PyTuple_SetItem(ptr %tuple, i64 {i}, ptr %py.r{i})\n"
        body += "ret ptr %tuple\n"
    body += (
        "raised:\nret ptr null\ntrapped:\n%trap = call ptr @wasmark_raise_trap(ptr %func)\nret ptr %trap\n"
        "slow:\n%other = call ptr @wasmark_call_slow(ptr %func, ptr %args, i64 %nargsf, ptr %names)\nret ptr %other\n"
    )
    symbol = call_stub_symbol(signature)
    return f'define ptr @"{symbol}"(ptr %func, ptr %args, i64 %nargsf, ptr %names) #2 {{\n{body}}}\n'


def _host_stub_for_slots(params: list[str], results: list[str]) -> str:
    body = f"%slots = alloca [{_slot_total(params, results)} x i64]\n"
    body += "".join(
        _slot(f"%p{i}", "%slots", at) + f"store {t} %a{i}, ptr %p{i}{_ALIGNED}\n"
        for i, (t, at) in enumerate(zip(params, slot_places(params), strict=False))
    )
    return body + "call void @wasmark_host_call(ptr %context, ptr %slots)\n" + _pack(results, "%slots")


def _plain_host_stub(params: list[str], results: list[str]) -> str:
    count = len(params)
    body = _spill(params) + (
        f"%slots = alloca [{_slot_total(results)} x i64]\n%objects = alloca [{max(count, 1)} x ptr]\n"
        "%fp = call ptr @llvm.frameaddress.p0(i32 0)\ncall void @wasmark_leave_wasm(ptr %context, ptr %fp)\n"
    )
    for i, type_ in enumerate(params):
        body += _to_python(type_, f"%a{i}", f".a{i}")
        body += _slot(f"%p{i}", "%objects", i) + f"store ptr %py.a{i}, ptr %p{i}\n"
        body += f"%none{i} = icmp eq ptr %py.a{i}, null\nbr i1 %none{i}, label %nothing{i}, label %boxed{i}\n"
        # Without memory for it: give up the ones before, the last one first.
        body += f"nothing{i}:\n"
        body += f"call void @Py_DecRef(ptr %py.a{i - 1})\nbr label %nothing{i - 1}\n" if i else "br label %raised\n"
        body += f"boxed{i}:\n"
    body += (
        f"%h.callable = getelementptr i8, ptr %context, i64 {L.HOST_CALLABLE}\n%callable = load ptr, ptr %h.callable\n"
        f"%result = call ptr @PyObject_Vectorcall(ptr %callable, ptr %objects, i64 {count}, ptr null)\n"
    )
    body += "".join(f"call void @Py_DecRef(ptr %py.a{i})\n" for i in range(count))
    body += "%failed = icmp eq ptr %result, null\nbr i1 %failed, label %raised, label %answer\nanswer:\n"
    if not results:
        body += "%is.none = icmp eq ptr %result, @_Py_NoneStruct\nbr i1 %is.none, label %done, label %convert\n"
    elif len(results) == 1:
        body += (
            _to_native(results[0], "%result", ".r", "convert")
            + f"store {results[0]} %n.r, ptr %slots{_ALIGNED}\nbr label %done\n"
        )
    else:
        body += "br label %convert\n"
    body += "done:\ncall void @Py_DecRef(ptr %result)\nbr label %back\n" if len(results) < 2 else ""
    body += (
        "convert:\n%converted = call i1 @wasmark_convert(ptr %context, ptr %result, ptr %slots)\n"
        "br i1 %converted, label %back, label %raised\n"
        "raised:\ncall void @wasmark_raise(ptr %context)\nunreachable\n"
        "back:\ncall void @wasmark_back_to_wasm(ptr %context)\n"
    )
    return body + _pack(results, "%slots")


def host_stub(signature: str) -> str:
    """IR of `results host(ptr context, params...)`."""
    params, results = split_signature(signature)
    declared = "".join(f", {t} %a{i}" for i, t in enumerate(params))
    body = (_plain_host_stub if is_plain(signature) else _host_stub_for_slots)(params, results)
    symbol = host_stub_symbol(signature)
    return f'define {result_type(results)} @"{symbol}"(ptr %context{declared}) #2 {{\n{body}}}\n'


def stubs_ir(signatures: Iterable[str]) -> str:
    """A whole IR module with all stubs of each signature."""
    ordered = list(signatures)
    plain = [signature for signature in ordered if is_plain(signature)]
    return "".join(
        [_DECLARATIONS, *map(trampoline, ordered), *map(host_stub, ordered), *map(call_stub, plain), ATTRIBUTES]
    )
