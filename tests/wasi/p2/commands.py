"""Command components as text, and as the binaries that they are."""

from __future__ import annotations

from wasmark.component.binary import encode_component
from wasmark.component.text import parse_component


def command(body: str, version: str = "0.2.6") -> bytes:
    """A command whose `run` is `body`: wasm instructions that leave 0 for success and 1 for failure.

    There are functions for them: `$write` takes an address and a length, `$exit` 0 or 1; after `$read-arguments`,
    `$argument` returns the address and the length of the argument with a number.
    """
    return encode_component(parse_component(TEMPLATE.replace("VERSION", version).replace("BODY", body)))


TEMPLATE = r"""
(component $Command
  (import "wasi:io/error@VERSION" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error))
  (import "wasi:io/streams@VERSION" (instance $streams
    (export "output-stream" (type $output-stream (sub resource)))
    (alias outer $Command $error (type $e)) (export "error" (type $inner (eq $e)))
    (type $of-failure (variant (case "last-operation-failed" (own $inner)) (case "closed")))
    (export "stream-error" (type $failure (eq $of-failure)))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" (borrow $output-stream)) (param "contents" (list u8)) (result (result (error $failure)))))))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdout@VERSION" (instance $stdout
    (alias outer $Command $output-stream (type $o)) (export "output-stream" (type $output-stream (eq $o)))
    (export "get-stdout" (func (result (own $output-stream))))))
  (import "wasi:cli/environment@VERSION" (instance $environment
    (export "get-arguments" (func (result (list string))))))
  (import "wasi:cli/exit@VERSION" (instance $exit (export "exit" (func (param "status" (result))))))
  (core module $Memory
    (memory (export "memory") 1)
    (data (i32.const 512) "hello from a component\n")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.load (i32.const 4)))
      (if (i32.eqz (local.get $at)) (then (local.set $at (i32.const 1024))))
      (i32.store (i32.const 4) (i32.and (i32.add (i32.add (local.get $at) (local.get 3)) (i32.const 7)) (i32.const -8)))
      (local.get $at)))
  (core instance $memory (instantiate $Memory))
  (alias core export $memory "memory" (core memory $m))
  (alias core export $memory "realloc" (core func $realloc))
  (alias export $stdout "get-stdout" (func $get-stdout))
  (alias export $streams "[method]output-stream.blocking-write-and-flush" (func $put))
  (alias export $environment "get-arguments" (func $get-arguments))
  (alias export $exit "exit" (func $exit-f))
  (core func $get-stdout-core (canon lower (func $get-stdout)))
  (core func $put-core (canon lower (func $put) (memory (core memory $m))))
  (core func $arguments-core
    (canon lower (func $get-arguments) (memory (core memory $m)) (realloc (core func $realloc))))
  (core func $exit-core (canon lower (func $exit-f)))
  (core func $drop-core (canon resource.drop $output-stream))
  (core module $Main
    (import "memory" "memory" (memory 1))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "put" (func $put (param i32 i32 i32 i32)))
    (import "host" "get-arguments" (func $get-arguments (param i32)))
    (import "host" "exit" (func $exit (param i32)))
    (import "host" "drop" (func $drop (param i32)))
    (func $write (param $at i32) (param $length i32) (local $out i32)
      (local.set $out (call $get-stdout))
      (call $put (local.get $out) (local.get $at) (local.get $length) (i32.const 16))
      (call $drop (local.get $out))
      (if (i32.load8_u (i32.const 16)) (then unreachable)))
    (func $read-arguments
      (call $get-arguments (i32.const 32)))
    (func $argument (param $number i32) (result i32 i32) (local $at i32)
      (local.set $at
        (i32.add (i32.load (i32.const 32)) (i32.mul (local.get $number) (i32.const 8))))
      (i32.load (local.get $at))
      (i32.load offset=4 (local.get $at)))
    (func $deeper unreachable)
    (func $run (export "run") (result i32) BODY))
  (core instance $main (instantiate $Main
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "get-stdout" (func $get-stdout-core)) (export "put" (func $put-core))
      (export "get-arguments" (func $arguments-core)) (export "exit" (func $exit-core))
      (export "drop" (func $drop-core))))))
  (alias core export $main "run" (core func $run-core))
  (func $run (result (result)) (canon lift (core func $run-core)))
  (instance $runs (export "run" (func $run)))
  (export "wasi:cli/run@VERSION" (instance $runs)))
"""
HELLO = "(call $write (i32.const 512) (i32.const 23)) (i32.const 0)"
ECHO = "(call $read-arguments) (call $write (call $argument (i32.const 1))) (i32.const 0)"
