(module $sorting
  (memory (export "memory") 1)
  (data (i32.const 0) "\09\00\00\00\03\00\00\00\07\00\00\00\01\00\00\00\08\00\00\00")
  (func $less (param $a i32) (param $b i32) (result i32)
    (i32.lt_s (i32.load (i32.shl (local.get $a) (i32.const 2))) (i32.load (i32.shl (local.get $b) (i32.const 2)))))
  (func $swap (param $a i32) (param $b i32) (local $t i32)
    (local.set $t (i32.load (i32.shl (local.get $a) (i32.const 2))))
    (i32.store (i32.shl (local.get $a) (i32.const 2)) (i32.load (i32.shl (local.get $b) (i32.const 2))))
    (i32.store (i32.shl (local.get $b) (i32.const 2)) (local.get $t)))
  (func (export "sort") (param $n i32) (local $i i32) (local $j i32)
    (local.set $n (i32.and (local.get $n) (i32.const 15)))
    (loop $outer
      (local.set $j (i32.const 1))
      (loop $inner
        (if (i32.lt_u (local.get $j) (local.get $n))
          (then
            (if (call $less (local.get $j) (i32.sub (local.get $j) (i32.const 1)))
              (then (call $swap (local.get $j) (i32.sub (local.get $j) (i32.const 1)))))
            (local.set $j (i32.add (local.get $j) (i32.const 1)))
            (br $inner))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $outer (i32.lt_u (local.get $i) (local.get $n))))))
