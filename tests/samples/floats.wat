;; Not a valid program: a float operation has no metered implementation.
(module
  (import "vm_hooks" "pay_for_memory_grow" (func $pay_for_memory_grow (param i32)))
  (memory (export "memory") 1)
  (func (export "user_entrypoint") (param $length i32) (result i32)
    (call $pay_for_memory_grow (i32.const 0))
    (i32.trunc_f64_s (f64.add (f64.const 1) (f64.const 2)))))
