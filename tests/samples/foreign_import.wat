;; Not a valid program: there is no such host function.
(module
  (import "vm_hooks" "pay_for_memory_grow" (func $pay_for_memory_grow (param i32)))
  (import "vm_hooks" "read_secret" (func $read_secret (param i32)))
  (memory (export "memory") 1)
  (func (export "user_entrypoint") (param $length i32) (result i32)
    (call $pay_for_memory_grow (i32.const 0))
    (call $read_secret (i32.const 0))
    (i32.const 0)))
