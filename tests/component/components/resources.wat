;; Resources of its own and imported ones, in interfaces, through components that are linked to each other.
(component $resources
  (type $level' (enum "info" "error"))
  (import "level" (type $level (eq $level')))
  (import "log" (func $log (param "level" $level)))
  (import "test:host/things@1.2.3" (instance $things
    (export "thing" (type $thing (sub resource)))
    (export "[constructor]thing" (func (param "size" u32) (result (own $thing))))
    (export "[method]thing.size" (func (param "self" (borrow $thing)) (result u32)))
    (export "[static]thing.count" (func (result u64)))))
  (alias export $things "thing" (type $thing))
  (alias export $things "[method]thing.size" (func $size))

  (component $counters
    (core module $impl
      (import "" "new" (func $new (param i32) (result i32)))
      (import "" "rep" (func $rep (param i32) (result i32)))
      (global $dropped (mut i32) (i32.const 0))
      (func (export "drop") (param i32)
        (global.set $dropped (i32.add (global.get $dropped) (i32.const 1))))
      (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
      (func (export "value") (param i32) (result i32) (local.get 0))
      (func (export "same") (param i32) (result i32) (call $new (call $rep (local.get 0)))))
    (core module $later
      (table (export "table") 1 1 funcref)
      (func (export "drop") (param i32) (call_indirect (param i32) (local.get 0) (i32.const 0))))
    (core instance $later (instantiate $later))
    (type $counter' (resource (rep i32) (dtor (core func $later "drop"))))
    (core func $new (canon resource.new $counter'))
    (core func $rep (canon resource.rep $counter'))
    (core instance $impl (instantiate $impl
      (with "" (instance (export "new" (func $new)) (export "rep" (func $rep))))))
    (export $counter "counter" (type $counter'))
    (func (export "[constructor]counter") (param "start" u32) (result (own $counter))
      (canon lift (core func $impl "make")))
    (func (export "[method]counter.value") (param "self" (borrow $counter)) (result u32)
      (canon lift (core func $impl "value"))))

  (component $user
    (import "counters" (instance $counters
      (export "counter" (type $counter (sub resource)))
      (export "[constructor]counter" (func (param "start" u32) (result (own $counter))))
      (export "[method]counter.value" (func (param "self" (borrow $counter)) (result u32)))))
    (alias export $counters "counter" (type $counter))
    (core func $make (canon lower (func $counters "[constructor]counter")))
    (core func $value (canon lower (func $counters "[method]counter.value")))
    (core func $drop (canon resource.drop $counter))
    (core module $main
      (import "counters" "make" (func $make (param i32) (result i32)))
      (import "counters" "value" (func $value (param i32) (result i32)))
      (import "counters" "drop" (func $drop (param i32)))
      (func (export "run") (result i32)
        (local $counter i32)
        (local.set $counter (call $make (i32.const 7)))
        (call $value (local.get $counter))
        (call $drop (local.get $counter))))
    (core instance $main (instantiate $main
      (with "counters" (instance
        (export "make" (func $make))
        (export "value" (func $value))
        (export "drop" (func $drop))))))
    (func (export "run") (result u32) (canon lift (core func $main "run"))))

  (instance $c (instantiate $counters))
  (instance $u (instantiate $user (with "counters" (instance $c))))
  (export "test:guest/counters" (instance $c))
  (export "run" (func $u "run"))
  (core func $drop-thing (canon resource.drop $thing))
  (func $end (param "thing" (own $thing)) (canon lift (core func $drop-thing)))
  (export "end" (func $end))
  (export "size" (func $size))
)
