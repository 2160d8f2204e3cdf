;; The product of a matrix and a vector, four numbers at a time, and a bias: out = matrix @ vector + bias.
;;
;; All are float32 in the memory and given by their address, a multiple of 16. The matrix lies row by
;; row; its rows, and the bytes of one, are multiples of 4 and of 16.
;;
;; product.wasm is made of this text:
;;     npx --package wabt wat2wasm product.wat --output product.wasm
(module
  (memory (export "memory") 1)
  (func (export "product")
    (param $matrix i32) (param $vector i32) (param $bias i32) (param $out i32)
    (param $rows i32) (param $bytes i32)
    (local $last i32) (local $stop i32) (local $at i32)
    (local $row1 i32) (local $row2 i32) (local $row3 i32)
    (local $x v128) (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $last (i32.add (local.get $out) (i32.shl (local.get $rows) (i32.const 2))))
    (local.set $stop (i32.add (local.get $vector) (local.get $bytes)))
    (loop $four_rows
      (local.set $a (v128.const i32x4 0 0 0 0))
      (local.set $b (local.get $a))
      (local.set $c (local.get $a))
      (local.set $d (local.get $a))
      (local.set $row1 (i32.add (local.get $matrix) (local.get $bytes)))
      (local.set $row2 (i32.add (local.get $row1) (local.get $bytes)))
      (local.set $row3 (i32.add (local.get $row2) (local.get $bytes)))
      (local.set $at (local.get $vector))
      (loop $four_columns
        (local.set $x (v128.load (local.get $at)))
        (local.set $a (f32x4.add (local.get $a) (f32x4.mul (local.get $x) (v128.load (local.get $matrix)))))
        (local.set $b (f32x4.add (local.get $b) (f32x4.mul (local.get $x) (v128.load (local.get $row1)))))
        (local.set $c (f32x4.add (local.get $c) (f32x4.mul (local.get $x) (v128.load (local.get $row2)))))
        (local.set $d (f32x4.add (local.get $d) (f32x4.mul (local.get $x) (v128.load (local.get $row3)))))
        (local.set $matrix (i32.add (local.get $matrix) (i32.const 16)))
        (local.set $row1 (i32.add (local.get $row1) (i32.const 16)))
        (local.set $row2 (i32.add (local.get $row2) (i32.const 16)))
        (local.set $row3 (i32.add (local.get $row3) (i32.const 16)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $four_columns (i32.lt_u (local.get $at) (local.get $stop))))
      ;; Four sums of four: first a0+a2 b0+b2 a1+a3 b1+b3, the same of c and d, then the rest.
      (local.set $x (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $a) (local.get $b)))
      (local.set $a (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $a) (local.get $b)))
      (local.set $a (f32x4.add (local.get $a) (local.get $x)))
      (local.set $x (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $c) (local.get $d)))
      (local.set $c (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $c) (local.get $d)))
      (local.set $c (f32x4.add (local.get $c) (local.get $x)))
      (local.set $b (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $a) (local.get $c)))
      (local.set $d (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $a) (local.get $c)))
      (v128.store (local.get $out)
        (f32x4.add (f32x4.add (local.get $b) (local.get $d)) (v128.load (local.get $bias))))
      (local.set $matrix (local.get $row3)) ;; the row after these four
      (local.set $bias (i32.add (local.get $bias) (i32.const 16)))
      (local.set $out (i32.add (local.get $out) (i32.const 16)))
      (br_if $four_rows (i32.lt_u (local.get $out) (local.get $last))))))
