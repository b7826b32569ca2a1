(module $arithmetic
  (func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "divide") (param i64 i64) (result i64)
    (i64.add (i64.div_s (local.get 0) (local.get 1)) (i64.rem_u (local.get 0) (local.get 1))))
  (func (export "bits") (param i32 i64) (result i64)
    (i64.xor
      (i64.rotl (local.get 1) (i64.extend_i32_u (i32.clz (local.get 0))))
      (i64.shr_u (i64.extend8_s (local.get 1)) (i64.popcnt (local.get 1)))))
  (func (export "compare") (param f64 f32) (result i32)
    (i32.or
      (f64.le (f64.sqrt (local.get 0)) (f64.promote_f32 (local.get 1)))
      (i32.trunc_sat_f64_u (f64.nearest (local.get 0)))))
  (func (export "floats") (param f32 f32) (result f32)
    (f32.copysign (f32.min (local.get 0) (f32.const nan:0x200000)) (f32.max (local.get 1) (f32.const -0x1.8p-3))))
  (func (export "convert") (param f64) (result i64) (i64.trunc_f64_s (local.get 0))))
