"""A component in Python: its record is a dataclass, its list of bytes is bytes, its result is returned or raised."""

import wasmark

component = wasmark.Component("""
  (component $greeter
    (type $person' (record (field "name" string) (field "age" u8)))
    (export $person "person" (type $person'))
    (core module $M (memory (export "memory") 1)
      (global $next (mut i32) (i32.const 64))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $next)
        (global.set $next (i32.add (global.get $next) (local.get 3))))
      (func (export "name-if-adult") (param $name i32) (param $length i32) (param $age i32) (result i32)
        (i32.store8 (i32.const 0) (i32.lt_u (local.get $age) (i32.const 18)))
        (i32.store (i32.const 4) (local.get $name))
        (i32.store (i32.const 8) (local.get $length))
        (i32.const 0)))
    (core instance $m (instantiate $M))
    (func (export "name-if-adult") (param "who" $person) (result (result string (error string)))
      (canon lift (core func $m "name-if-adult")
        (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))
""")
exports = wasmark.ComponentInstance(component).exports
print(exports.name_if_adult(exports.Person("Ada", age=36)))
try:
    exports.name_if_adult({"name": "Bob", "age": 7})
except wasmark.ResultError as error:
    print("too young:", error.payload)
try:
    exports.name_if_adult({"name": "Eve", "age": 700})
except TypeError as error:
    print(error)
