"""The interfaces of WASI 0.2 as these tests import them, in the component model's text format: the types of each, and a
row a function. `$names` mean the same inside an interface and in the component around it."""

from __future__ import annotations

from typing import NamedTuple


class Interface(NamedTuple):
    """`types` are exports of the interface, `uses` the types that it takes from others, `functions` their names and
    types."""

    name: str
    uses: tuple[str, ...]
    types: dict[str, str]
    functions: dict[str, str]


SELF_IN = '(param "self" (borrow $input-stream))'
SELF_OUT = '(param "self" (borrow $output-stream))'
SELF = '(param "self" (borrow $descriptor))'
LENGTH = '(param "len" u64)'
PATH = '(param "path-flags" $path-flags) (param "path" string)'
TIMES = '(param "data-access-timestamp" $new-timestamp) (param "data-modification-timestamp" $new-timestamp)'
DATETIME = '(record (field "seconds" u64) (field "nanoseconds" u32))'
ERROR_CODE = """(enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist"
  "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
  "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
  "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty" "no-such-device" "overflow"
  "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy" "cross-device")"""
DESCRIPTOR_TYPE = """(enum "unknown" "block-device" "character-device" "directory" "fifo" "symbolic-link" "regular-file"
  "socket")"""


def _read(kind: str) -> str:
    return f"{SELF_IN} {LENGTH} (result (result {kind} (error $stream-error)))"


def _write(param: str, kind: str = "") -> str:
    return f"{SELF_OUT} {param} (result (result {kind} (error $stream-error)))"


def _file(params: str, kind: str = "") -> str:
    return f"{SELF} {params} (result (result {kind} (error $error-code)))"


INTERFACES = (
    Interface("wasi:io/error", (), {"error": "(sub resource)"}, {
        "[method]error.to-debug-string": '(param "self" (borrow $error)) (result string)',
    }),
    Interface("wasi:io/poll", (), {"pollable": "(sub resource)"}, {
        "[method]pollable.ready": '(param "self" (borrow $pollable)) (result bool)',
        "[method]pollable.block": '(param "self" (borrow $pollable))',
        "poll": '(param "in" (list (borrow $pollable))) (result (list u32))',
    }),
    Interface("wasi:io/streams", ("error", "pollable"), {
        "input-stream": "(sub resource)",
        "output-stream": "(sub resource)",
        "stream-error": '(variant (case "last-operation-failed" (own $error)) (case "closed"))',
    }, {
        "[method]input-stream.read": _read("(list u8)"),
        "[method]input-stream.blocking-read": _read("(list u8)"),
        "[method]input-stream.skip": _read("u64"),
        "[method]input-stream.blocking-skip": _read("u64"),
        "[method]input-stream.subscribe": f"{SELF_IN} (result (own $pollable))",
        "[method]output-stream.check-write": _write("", "u64"),
        "[method]output-stream.write": _write('(param "contents" (list u8))'),
        "[method]output-stream.blocking-write-and-flush": _write('(param "contents" (list u8))'),
        "[method]output-stream.flush": _write(""),
        "[method]output-stream.blocking-flush": _write(""),
        "[method]output-stream.subscribe": f"{SELF_OUT} (result (own $pollable))",
        "[method]output-stream.write-zeroes": _write(LENGTH),
        "[method]output-stream.blocking-write-zeroes-and-flush": _write(LENGTH),
        "[method]output-stream.splice": _write('(param "src" (borrow $input-stream)) (param "len" u64)', "u64"),
        "[method]output-stream.blocking-splice": _write(
            '(param "src" (borrow $input-stream)) (param "len" u64)', "u64"
        ),
    }),
    Interface("wasi:clocks/monotonic-clock", ("pollable",), {}, {
        "now": "(result u64)",
        "resolution": "(result u64)",
        "subscribe-instant": '(param "when" u64) (result (own $pollable))',
        "subscribe-duration": '(param "when" u64) (result (own $pollable))',
    }),
    Interface("wasi:clocks/wall-clock", (), {"datetime": DATETIME}, {
        "now": "(result $datetime)",
        "resolution": "(result $datetime)",
    }),
    Interface("wasi:filesystem/types", ("input-stream", "output-stream", "error", "datetime"), {
        "descriptor": "(sub resource)",
        "directory-entry-stream": "(sub resource)",
        "error-code": ERROR_CODE,
        "descriptor-type": DESCRIPTOR_TYPE,
        "descriptor-flags": '(flags "read" "write" "file-integrity-sync" "data-integrity-sync" '
        '"requested-write-sync" "mutate-directory")',
        "path-flags": '(flags "symlink-follow")',
        "open-flags": '(flags "create" "directory" "exclusive" "truncate")',
        "new-timestamp": '(variant (case "no-change") (case "now") (case "timestamp" $datetime))',
        "descriptor-stat": '(record (field "type" $descriptor-type) (field "link-count" u64) (field "size" u64) '
        '(field "data-access-timestamp" (option $datetime)) (field "data-modification-timestamp" (option $datetime)) '
        '(field "status-change-timestamp" (option $datetime)))',
        "directory-entry": '(record (field "type" $descriptor-type) (field "name" string))',
        "metadata-hash-value": '(record (field "lower" u64) (field "upper" u64))',
        "advice": '(enum "normal" "sequential" "random" "will-need" "dont-need" "no-reuse")',
    }, {
        "[method]descriptor.read-via-stream": _file('(param "offset" u64)', "(own $input-stream)"),
        "[method]descriptor.write-via-stream": _file('(param "offset" u64)', "(own $output-stream)"),
        "[method]descriptor.append-via-stream": _file("", "(own $output-stream)"),
        "[method]descriptor.advise": _file(
            '(param "offset" u64) (param "length" u64) (param "advice" $advice)'
        ),
        "[method]descriptor.sync-data": _file(""),
        "[method]descriptor.get-flags": _file("", "$descriptor-flags"),
        "[method]descriptor.get-type": _file("", "$descriptor-type"),
        "[method]descriptor.set-size": _file('(param "size" u64)'),
        "[method]descriptor.set-times": _file(TIMES),
        "[method]descriptor.read": _file('(param "length" u64) (param "offset" u64)', "(tuple (list u8) bool)"),
        "[method]descriptor.write": _file('(param "buffer" (list u8)) (param "offset" u64)', "u64"),
        "[method]descriptor.read-directory": _file("", "(own $directory-entry-stream)"),
        "[method]descriptor.sync": _file(""),
        "[method]descriptor.create-directory-at": _file('(param "path" string)'),
        "[method]descriptor.stat": _file("", "$descriptor-stat"),
        "[method]descriptor.stat-at": _file(PATH, "$descriptor-stat"),
        "[method]descriptor.set-times-at": _file(f"{PATH} {TIMES}"),
        "[method]descriptor.link-at": _file(
            '(param "old-path-flags" $path-flags) (param "old-path" string) '
            '(param "new-descriptor" (borrow $descriptor)) (param "new-path" string)'
        ),
        "[method]descriptor.open-at": _file(
            f'{PATH} (param "open-flags" $open-flags) (param "flags" $descriptor-flags)', "(own $descriptor)"
        ),
        "[method]descriptor.readlink-at": _file('(param "path" string)', "string"),
        "[method]descriptor.remove-directory-at": _file('(param "path" string)'),
        "[method]descriptor.rename-at": _file(
            '(param "old-path" string) (param "new-descriptor" (borrow $descriptor)) (param "new-path" string)'
        ),
        "[method]descriptor.symlink-at": _file('(param "old-path" string) (param "new-path" string)'),
        "[method]descriptor.unlink-file-at": _file('(param "path" string)'),
        "[method]descriptor.is-same-object": f'{SELF} (param "other" (borrow $descriptor)) (result bool)',
        "[method]descriptor.metadata-hash": _file("", "$metadata-hash-value"),
        "[method]descriptor.metadata-hash-at": _file(PATH, "$metadata-hash-value"),
        "[method]directory-entry-stream.read-directory-entry": '(param "self" (borrow $directory-entry-stream)) '
        "(result (result (option $directory-entry) (error $error-code)))",
        "filesystem-error-code": '(param "err" (borrow $error)) (result (option $error-code))',
    }),
    Interface("wasi:filesystem/preopens", ("descriptor",), {}, {
        "get-directories": "(result (list (tuple (own $descriptor) string)))",
    }),
    Interface("wasi:cli/environment", (), {}, {
        "get-environment": "(result (list (tuple string string)))",
        "get-arguments": "(result (list string))",
        "initial-cwd": "(result (option string))",
    }),
    Interface("wasi:cli/exit", (), {}, {"exit": '(param "status" (result))'}),
    Interface("wasi:cli/stdin", ("input-stream",), {}, {"get-stdin": "(result (own $input-stream))"}),
    Interface("wasi:cli/stdout", ("output-stream",), {}, {"get-stdout": "(result (own $output-stream))"}),
    Interface("wasi:cli/stderr", ("output-stream",), {}, {"get-stderr": "(result (own $output-stream))"}),
    Interface("wasi:cli/terminal-input", (), {"terminal-input": "(sub resource)"}, {}),
    Interface("wasi:cli/terminal-output", (), {"terminal-output": "(sub resource)"}, {}),
    Interface("wasi:cli/terminal-stdin", ("terminal-input",), {}, {
        "get-terminal-stdin": "(result (option (own $terminal-input)))",
    }),
    Interface("wasi:cli/terminal-stdout", ("terminal-output",), {}, {
        "get-terminal-stdout": "(result (option (own $terminal-output)))",
    }),
    Interface("wasi:cli/terminal-stderr", ("terminal-output",), {}, {
        "get-terminal-stderr": "(result (option (own $terminal-output)))",
    }),
    Interface("wasi:random/random", (), {}, {
        "get-random-bytes": '(param "len" u64) (result (list u8))',
        "get-random-u64": "(result u64)",
    }),
    Interface("wasi:random/insecure", (), {}, {
        "get-insecure-random-bytes": '(param "len" u64) (result (list u8))',
        "get-insecure-random-u64": "(result u64)",
    }),
    Interface("wasi:random/insecure-seed", (), {}, {"insecure-seed": "(result (tuple u64 u64))"}),
)  # fmt: skip

TIMEZONE = Interface("wasi:clocks/timezone", ("datetime",), {
    "timezone-display": '(record (field "utc-offset" s32) (field "name" string) '
    '(field "in-daylight-saving-time" bool))',
}, {
    "display": '(param "when" $datetime) (result $timezone-display)',
    "utc-offset": '(param "when" $datetime) (result s32)',
})  # fmt: skip
"""wasmtime-py has no implementation of it."""

LOGGING = Interface("wasi:logging/logging", (), {
    "level": '(enum "trace" "debug" "info" "warn" "error" "critical")',
}, {"log": '(param "level" $level) (param "context" string) (param "message" string)'})  # fmt: skip

SOCKETS = (
    Interface("wasi:sockets/network", (), {
        "network": "(sub resource)",
        "error-code": '(enum "unknown" "access-denied" "not-supported")',
        "ip-address-family": '(enum "ipv4" "ipv6")',
    }, {}),
    Interface("wasi:sockets/instance-network", ("network",), {}, {"instance-network": "(result (own $network))"}),
    Interface("wasi:sockets/tcp", (), {"tcp-socket": "(sub resource)"}, {
        "[method]tcp-socket.is-listening": '(param "self" (borrow $tcp-socket)) (result bool)',
    }),
    Interface("wasi:sockets/tcp-create-socket", ("error-code", "ip-address-family", "tcp-socket"), {}, {
        "create-tcp-socket": '(param "address-family" $ip-address-family) '
        "(result (result (own $tcp-socket) (error $error-code)))",
    }),
    Interface("wasi:sockets/udp", (), {"udp-socket": "(sub resource)"}, {}),
    Interface("wasi:sockets/udp-create-socket", ("error-code", "ip-address-family", "udp-socket"), {}, {
        "create-udp-socket": '(param "address-family" $ip-address-family) '
        "(result (result (own $udp-socket) (error $error-code)))",
    }),
    Interface("wasi:sockets/ip-name-lookup", ("network", "error-code"), {
        "resolve-address-stream": "(sub resource)",
    }, {
        "resolve-addresses": '(param "network" (borrow $network)) (param "name" string) '
        "(result (result (own $resolve-address-stream) (error $error-code)))",
    }),
)  # fmt: skip
"""A cut of them: the types that are needed to ask for a socket."""
