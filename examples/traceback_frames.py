"""Wasm functions stand in Python's tracebacks, between who called them and what they called."""

from __future__ import annotations

import traceback

import wasmark

MODULE = """
(module $shop
  (import "host" "price" (func $price (param i32) (result i32)))
  (func $total (param $item i32) (param $count i32) (result i32)
    (i32.mul (call $price (local.get $item)) (local.get $count)))
  (func (export "order") (param i32 i32) (result i32)
    (call $total (local.get 0) (local.get 1))))
"""
PRICES = {1: 250, 2: 999}


def price(item: int) -> int:
    return PRICES[item]


shop = wasmark.Instance(wasmark.Module(MODULE), {"host": {"price": price}})
print(shop.exports.order(2, 3))
try:
    shop.exports.order(7, 1)
except KeyError as error:
    for line in traceback.extract_tb(error.__traceback__):
        print(f"{line.name:<10} {line.line}")
