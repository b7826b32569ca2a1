"""Random scripts over handles: three components make resources, lend them, pass them on and drop them, mostly as they
should.

The first one defines the resource `r`, and counts how many there are. The second one gets borrows of it, and does with
them what it is told, which may be wrong. The third one has a resource `s` of its own, too, and carries out the script,
a core function with a few handles in locals. What it returns depends on all representations and indices that it saw.
"""

from __future__ import annotations

from random import Random
from typing import Final

from tests.differential.components import Call, Generated
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table

HANDLES: Final = 4
STEPS: Final = 14
ERRORS: Final = 0.05
"""How often a step does not care whether its handles are right."""

OWNER: Final = """(component $C
  (core module $Live (global $live (mut i32) (i32.const 0)) (global $ended (mut i32) (i32.const 0))
    (func (export "end") (param i32)
      (global.set $live (i32.sub (global.get $live) (i32.const 1)))
      (global.set $ended (i32.add (i32.mul (global.get $ended) (i32.const 7)) (local.get 0))))
    (func (export "up") (global.set $live (i32.add (global.get $live) (i32.const 1))))
    (func (export "live") (result i32) (i32.add (i32.mul (global.get $live) (i32.const 1000)) (global.get $ended))))
  (core instance $live (instantiate $Live))
  (type $R' (resource (rep i32) (dtor (core func $live "end"))))
  (export $R "r" (type $R'))
  (core func $new (canon resource.new $R'))
  (core func $drop (canon resource.drop $R'))
  (core func $rep (canon resource.rep $R'))
  (core module $M
    (import "" "up" (func $up)) (import "" "new" (func $new (param i32) (result i32)))
    (import "" "drop" (func $drop (param i32))) (import "" "rep" (func $rep (param i32) (result i32)))
    (func (export "make") (param i32) (result i32) (call $up) (call $new (local.get 0)))
    (func (export "look") (param i32) (result i32) (local.get 0))
    (func (export "pair") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "take") (param i32) (result i32) (call $rep (local.get 0)) (call $drop (local.get 0)))
    (func (export "pass") (param i32) (result i32) (local.get 0))
    (func (export "both") (param i32 i32) (result i32) (call $drop (local.get 1)) (local.get 0)))
  (core instance $m (instantiate $M (with "" (instance (export "up" (func $live "up")) (export "new" (func $new))
    (export "drop" (func $drop)) (export "rep" (func $rep))))))
  (func (export "make") (param "n" u32) (result (own $R)) (canon lift (core func $m "make")))
  (func (export "look") (param "a" (borrow $R)) (result u32) (canon lift (core func $m "look")))
  (func (export "pair") (param "a" (borrow $R)) (param "b" (borrow $R)) (result u32) (canon lift (core func $m "pair")))
  (func (export "take") (param "a" (own $R)) (result u32) (canon lift (core func $m "take")))
  (func (export "pass") (param "a" (own $R)) (result (own $R)) (canon lift (core func $m "pass")))
  (func (export "both") (param "a" (borrow $R)) (param "b" (own $R)) (result u32) (canon lift (core func $m "both")))
  (func (export "live") (result u32) (canon lift (core func $live "live"))))"""

BORROWER: Final = """(component $E
  (import "r" (type $R (sub resource)))
  (import "look" (func $look (param "a" (borrow $R)) (result u32)))
  (import "take" (func $take (param "a" (own $R)) (result u32)))
  (core func $drop (canon resource.drop $R))
  (core func $look' (canon lower (func $look)))
  (core func $take' (canon lower (func $take)))
  (core module $M
    (import "" "look" (func $look (param i32) (result i32)))
    (import "" "take" (func $take (param i32) (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (global $last (mut i32) (i32.const 0))
    (func (export "peek") (param $it i32) (param $how i32) (result i32) (local $found i32)
      (if (i32.eq (local.get $how) (i32.const 5)) (then (local.set $found (call $look (global.get $last)))))
      (if (i32.eq (local.get $how) (i32.const 4)) (then (local.set $found (call $take (local.get $it)))))
      (if (i32.le_u (local.get $how) (i32.const 1)) (then (local.set $found (call $look (local.get $it)))))
      (if (i32.ne (local.get $how) (i32.const 2)) (then (call $drop (local.get $it))))
      (if (i32.eq (local.get $how) (i32.const 3)) (then (call $drop (local.get $it))))
      (global.set $last (local.get $it))
      (i32.add (i32.mul (local.get $found) (i32.const 3)) (local.get $it))))
  (core instance $m (instantiate $M (with "" (instance
    (export "look" (func $look')) (export "take" (func $take')) (export "drop" (func $drop))))))
  (func (export "peek") (param "it" (borrow $R)) (param "how" u32) (result u32) (canon lift (core func $m "peek"))))"""
"""How 0 and 1 are right; 2 keeps the borrow, 3 drops it twice, 4 gives it away, 5 uses that of an earlier call."""

_LOWERED: Final = ("make", "look", "pair", "take", "pass", "both", "live", "peek")
_CORE: Final = {"pair": "(param i32 i32)", "both": "(param i32 i32)", "peek": "(param i32 i32)", "live": ""}


def generate(seed: int) -> Generated:
    """The component of a seed."""
    script = _Script(Random(f"handles {seed}"))
    imports = " ".join(
        f'(import "" "{name}" (func ${name} {_CORE.get(name, "(param i32)")} (result i32)))' for name in _LOWERED
    )
    lowered = " ".join(f"(core func ${name}' (canon lower (func ${name})))" for name in _LOWERED)
    given = " ".join(f"""(export "{name}" (func ${name}'))""" for name in _LOWERED)
    text = f"""(component {OWNER} {BORROWER}
      (component $D
        (import "c" (instance $c (export "r" (type $R (sub resource)))
          (export "make" (func (param "n" u32) (result (own $R))))
          (export "look" (func (param "a" (borrow $R)) (result u32)))
          (export "pair" (func (param "a" (borrow $R)) (param "b" (borrow $R)) (result u32)))
          (export "take" (func (param "a" (own $R)) (result u32)))
          (export "pass" (func (param "a" (own $R)) (result (own $R))))
          (export "both" (func (param "a" (borrow $R)) (param "b" (own $R)) (result u32)))
          (export "live" (func (result u32)))))
        (alias export $c "r" (type $r))
        {" ".join(f'(alias export $c "{name}" (func ${name}))' for name in _LOWERED[:-1])}
        (import "peek" (func $peek (param "it" (borrow $r)) (param "how" u32) (result u32)))
        {lowered}
        (type $S (resource (rep i32)))
        (core func $drop-r (canon resource.drop $r))
        (core func $new-s (canon resource.new $S))
        (core func $drop-s (canon resource.drop $S))
        (core func $rep-s (canon resource.rep $S))
        (core module $M
          {imports}
          (import "" "drop-r" (func $drop-r (param i32))) (import "" "new-s" (func $new-s (param i32) (result i32)))
          (import "" "drop-s" (func $drop-s (param i32))) (import "" "rep-s" (func $rep-s (param i32) (result i32)))
          (global $sum (mut i32) (i32.const 0))
          (func $note (param i32)
            (global.set $sum (i32.add (i32.mul (global.get $sum) (i32.const 31)) (local.get 0))))
          (func (export "run") (result i32) (local {"i32 " * HANDLES})
            {" ".join(script.lines)}
            (call $note (call $live)) (global.get $sum)))
        (core instance $m (instantiate $M (with "" (instance {given} (export "drop-r" (func $drop-r))
          (export "new-s" (func $new-s)) (export "drop-s" (func $drop-s)) (export "rep-s" (func $rep-s))))))
        (func (export "run") (result u32) (canon lift (core func $m "run"))))
      (instance $c (instantiate $C))
      (alias export $c "r" (type $r))
      (instance $e (instantiate $E
        (with "r" (type $r)) (with "look" (func $c "look")) (with "take" (func $c "take"))))
      (instance $d (instantiate $D (with "c" (instance $c)) (with "peek" (func $e "peek"))))
      (export "f" (func $d "run")))"""
    return Generated(seed, text, (), T.U32(), None, None, (Call((), None, None),) * 2)


class _Script:
    """The steps, and what each local has while all goes well: "r", "s" or nothing."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.kinds = [""] * HANDLES
        self.lines: list[str] = []
        for _ in range(random.randint(1, STEPS)):
            random.choice(_STEPS)(self)

    def pick(self, kind: str) -> int | None:
        """A local that has a handle of this kind, "" for none; now and then, any."""
        if self.random.random() < ERRORS:
            return self.random.randrange(HANDLES)
        fitting = [place for place, each in enumerate(self.kinds) if each == kind]
        return self.random.choice(fitting) if fitting else None

    def note(self, expression: str) -> None:
        self.lines.append(f"(call $note {expression})")

    def set(self, place: int, expression: str, kind: str) -> None:
        self.lines.append(f"(local.set {place} {expression}) (call $note (local.get {place}))")
        self.kinds[place] = kind

    def make(self) -> None:
        place = self.pick("")
        if place is not None:
            number = self.random.randint(0, 9)
            new, kind = self.random.choice((("make", "r"), ("make", "r"), ("new-s", "s")))
            self.set(place, f"(call ${new} (i32.const {number}))", kind)

    def drop(self) -> None:
        kind = self.random.choice("rrs")
        place = self.pick(kind)
        if place is not None:
            self.lines.append(f"(call $drop-{kind} (local.get {place}))")
            self.kinds[place] = ""

    def look(self) -> None:
        name, kind = self.random.choice((("look", "r"), ("look", "r"), ("rep-s", "s")))
        place = self.pick(kind)
        if place is not None:
            self.note(f"(call ${name} (local.get {place}))")

    def pair(self) -> None:
        one, other = self.pick("r"), self.pick("r")
        if one is not None and other is not None:
            self.note(f"(call $pair (local.get {one}) (local.get {other}))")

    def take(self) -> None:
        place = self.pick("r")
        if place is not None:
            self.note(f"(call $take (local.get {place}))")
            self.kinds[place] = ""

    def pass_(self) -> None:
        place = self.pick("r")
        if place is not None:
            self.set(place, f"(call $pass (local.get {place}))", "r")

    def both(self) -> None:
        one, other = self.pick("r"), self.pick("r")
        if one is not None and other is not None and (one != other or self.random.random() < ERRORS):
            self.note(f"(call $both (local.get {one}) (local.get {other}))")
            self.kinds[other] = ""

    def peek(self) -> None:
        place = self.pick("r")
        if place is not None:
            how = self.random.choice((0, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 4, 5))
            self.note(f"(call $peek (local.get {place}) (i32.const {how}))")

    def guess(self) -> None:
        """A handle that may be none at all."""
        if self.random.random() < ERRORS:
            place = self.random.randrange(HANDLES)
            self.lines.append(f"(local.set {place} (i32.const {self.random.choice((0, 1, 2, 3, 9, -1, 1 << 28))}))")
            self.kinds[place] = self.random.choice("rs")


_STEPS: Final = (
    *[_Script.make] * 4,
    _Script.drop,
    _Script.look,
    _Script.pair,
    _Script.take,
    _Script.pass_,
    _Script.both,
    *[_Script.peek] * 2,
    _Script.guess,
)
