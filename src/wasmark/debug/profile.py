"""`wasmark.profile()`: a sampling profiler that sees wasm and Python frames of one stack in their order.

Wasm code is looked at by a signal, a thousand times a second (`compile/image/profile.ll`). Python code is looked at by
a thread of Python, a hundred times a second, for that has to wait for the GIL; the time that a thread spends outside of
wasm between two of these looks is given to the later one. The same thread takes the samples out of the ring.

A stack goes through activations, from Python into wasm and back. The Python frames below an activation are known when
it is over, or when it is found in a host function; those of an activation around it are the last ones of them.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import time
from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from wasmark.debug.code_log import CodeLog, Site
from wasmark.debug.code_names import runtime_functions
from wasmark.debug.timeline import Frame, Look, Sample, Timeline, timeline
from wasmark.engine import default_engine
from wasmark.errors import Error
from wasmark.jit.stubs import runtime
from wasmark.registry.names import demangled
from wasmark.runtime import sampler as S  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.layout import THREAD_ID, THREAD_SEQUENCE
from wasmark.runtime.monitor import thread_blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType, TracebackType

    from wasmark.debug.code_names import NativeFunction

_LOOK_EVERY: Final = 0.01
"""Seconds between two looks at Python code."""
_MANY: Final = 1000
_NATIVE: Final = Frame("(native code)", "", 0)
_OMITTED: Final = Frame("(frames omitted)", "", 0)

Part = Site | Frame
Chain = tuple[Frame, ...]
"""Python frames, innermost first."""
Raw = tuple[Chain, tuple[tuple[tuple[Part, ...], int], ...]]
"""A stack, innermost first: Python frames above all wasm, then for each activation its wasm frames and its id."""


class Stack:
    """A stack of which the Python frames below some activations may still be missing."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: tuple[Part, ...] | None = None  # outermost first


class _Thread:
    """What was seen of one thread."""

    def __init__(self, id_: int) -> None:
        self.id = id_
        self.name = f"thread {id_}"
        self.times = array("Q")
        self.ticks = array("Q")
        self.firsts = array("Q")
        self.stacks: list[Stack] = []
        self.looks: list[tuple[int, Stack]] = []


_lock = threading.Lock()
_active: Profile | None = None


def _after_fork_in_child() -> None:
    """The helpers of the profile did not come along."""
    global _lock, _active
    _lock, _active = threading.Lock(), None


def _stop_at_exit() -> None:
    """What native code puts down goes into objects of Python, which end."""
    if _active is not None:
        _active.stop()


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_stop_at_exit)


class Profile:
    """What was seen from `start` to `stop`, or in a `with` block. There is one at a time.

    rate: samples a second. dropped: how many samples found no room. Threads that have never entered wasm are left out.
    """

    def __init__(self, rate: int = 1000) -> None:
        """Raises ValueError for a rate that is not from 1 to 10,000."""
        if not 1 <= rate <= 10_000:
            raise ValueError(f"a rate is from 1 to 10,000 samples a second, not {rate}")
        self.period = 1_000_000_000 // rate
        self.dropped = 0
        self.began = self.ended = 0
        self._threads: dict[int, _Thread] = {}
        self._waiting: dict[Raw, Stack] = {}
        self._waiting_for: dict[int, list[Raw]] = {}  # by the id of the activation
        self._known_parts: dict[tuple[Part, ...], tuple[Part, ...]] = {}
        self._chains: dict[int, Chain] = {}  # the Python frames below an activation, by its id
        self._many_chains = _MANY
        self._chains_by_codes: dict[Chain, Chain] = {}
        self._python: dict[int, tuple[Frame, CodeType]] = {}  # by the identity of the code, which it keeps alive
        self._log = CodeLog()
        self._captures: list[int | CodeType] = []
        self._stopping = threading.Event()
        self._helpers: list[threading.Thread] = []

    def __enter__(self) -> Profile:
        self.start()
        return self

    def __exit__(
        self, type_: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin. Raises Error where there is another profile, or this one has been used."""
        global _active
        installed = runtime(default_engine().cache)
        with _lock:
            if _active is not None:
                raise Error("there is a profile already")
            if self.began:
                raise Error("a profile is taken once")
            _active = self
        symbols = installed.symbols
        loop = ctypes.CFUNCTYPE(ctypes.c_uint64)(symbols["wasmark_sampler_loop"][0])  # without the GIL
        look = ctypes.PYFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p)
        self._look: Callable[..., int] = look(symbols["wasmark_look"][0])
        look_inside = ctypes.PYFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)
        self._look_inside: Callable[..., int] = look_inside(symbols["wasmark_look_inside"][0])
        self._record = S.new_record()
        self._native: tuple[list[int], list[NativeFunction]] | None = None
        S.ensure_ring()
        for _ in S.taken():  # what came too late for the profile before
            pass
        S.set_(S.SAMPLER_PERIOD, self.period)
        S.set_(S.SAMPLER_DROPPED, 0)
        S.set_(S.SAMPLER_CAPTURES, id(self._captures))
        S.set_(S.SAMPLER_NOW, time.monotonic_ns())
        S.set_(S.SAMPLER_ACTIVE, 1)
        self._log.start()
        self.began = time.monotonic_ns()
        self._helpers = [
            threading.Thread(target=loop, name="wasmark sampler", daemon=True),
            threading.Thread(target=self._look_on, name="wasmark profile", daemon=True),
        ]
        for helper in self._helpers:
            helper.start()

    def stop(self) -> None:
        """End. Doing it again changes nothing."""
        global _active
        with _lock:
            if _active is not self:
                return
            _active = None
        self._stopping.set()
        S.set_(S.SAMPLER_ACTIVE, 0)
        for helper in self._helpers:
            if helper.ident is not None:  # else an exception came in the middle of `start`
                helper.join()
        self._drain(last=True)
        S.set_(S.SAMPLER_CAPTURES, 0)
        self._log.stop()
        self.ended = time.monotonic_ns()
        self.dropped = S.get(S.SAMPLER_DROPPED)

    def __repr__(self) -> str:
        state = f"{(self.ended - self.began) / 1e9:.3g} s" if self.ended else "running" if self.began else "not begun"
        return f"<wasmark.Profile: {state}, {1_000_000_000 // self.period:,} samples a second>"

    # --- while it runs ----------------------------------------------------------------------------

    def _look_on(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY):
            self._drain()

    def _drain(self, *, last: bool = False) -> None:
        """Look at Python code, and take in what the handlers and the ends of activations have put down."""
        if last:
            self._look_at_running()
        else:
            self._look_at_python()
        records = list(S.taken())
        captures, taken = self._captures, len(self._captures)
        self._take_captures(captures[:taken])
        del captures[:taken]
        self._log.settle()
        for record in records:
            thread = self._thread(record.thread)
            thread.times.append(record.time)
            thread.ticks.append(record.tick)
            thread.firsts.append(record.first)
            thread.stacks.append(self._stack(self._raw((), record)))
        if records:
            self._log.forget(records[-1].position + 1)
        if len(self._chains) > self._many_chains:
            self._forget_chains()
        if last:
            for raw, stack in self._waiting.items():
                stack.parts = self._parts(raw)

    def _thread(self, id_: int) -> _Thread:
        thread = self._threads.get(id_)
        if thread is None:
            thread = _Thread(id_)
            # At once: it may be gone when it is looked at next.
            for known in threading.enumerate():
                if known.native_id == id_:
                    thread.name = known.name
            self._threads[id_] = thread
        return thread

    def _look_at_python(self) -> None:
        """One look at each thread that is outside of wasm code now."""
        known = {thread.native_id: thread for thread in threading.enumerate()}
        for id_, seen in self._threads.items():
            if id_ in known:
                seen.name = known[id_].name
        blocks = [(block, block[THREAD_SEQUENCE // 8], known.get(block[THREAD_ID // 8])) for block in thread_blocks()]
        current = sys._current_frames()
        now = time.monotonic_ns()
        record = self._record
        for block, sequence, thread in blocks:
            if thread is None or thread.ident not in current:
                continue
            looked = self._look(ctypes.addressof(block), ctypes.addressof(record))
            # Any step may change threads; where this one has been in wasm since, its frames are not those of before.
            if looked != S.LOOK_DONE or block[THREAD_SEQUENCE // 8] != sequence or self._stopping.is_set():
                continue
            assert thread.native_id is not None
            seen = self._thread(thread.native_id)
            seen.name = thread.name
            self._log.settle()
            raw = self._raw(self._chain_at(current[thread.ident]), S.Record(S.head(), record))
            seen.looks.append((now, self._stack(raw)))
        del current

    def _look_at_running(self) -> None:
        """At the end: the Python frames below activations that are in wasm code."""
        known = {thread.native_id: thread.ident for thread in threading.enumerate()}
        for block in thread_blocks():
            address = ctypes.addressof(block)
            id_ = self._look_inside(address)
            frame = sys._current_frames().get(known.get(block[THREAD_ID // 8]) or 0)
            if id_ and frame is not None and self._look_inside(address) == id_:
                self._chains[id_] = self._chain_at(frame)
                self._go_on(id_)

    def _chain_at(self, frame: FrameType | None) -> Chain:
        codes = []
        while frame is not None:
            codes.append(frame.f_code)
            frame = frame.f_back
        return self._chain(codes)

    def _chain(self, codes: list[CodeType]) -> Chain:
        frames = tuple(self._frame(code) for code in codes)
        return self._chains_by_codes.setdefault(frames, frames)

    def _frame(self, code: CodeType) -> Frame:
        known = self._python.get(id(code))
        if known is None:
            frame = Frame(code.co_qualname, code.co_filename, code.co_firstlineno, python=True)
            known = self._python[id(code)] = frame, code
        return known[0]

    def _take_captures(self, captures: list[int | CodeType]) -> None:
        """They are ids of activations, each followed by the codes of the Python frames below it."""
        codes: list[CodeType] = []
        for item in reversed(captures):
            if isinstance(item, int):
                self._chains[item] = self._chain(codes[::-1])
                self._go_on(item)
                codes = []
            else:
                codes.append(item)

    # --- stacks -----------------------------------------------------------------------------------

    def _raw(self, top: Chain, record: S.Record) -> Raw:
        activations: list[tuple[tuple[Part, ...], int]] = []
        parts: list[Part] = []
        for number, entry in enumerate(record.entries):
            if number == record.truncated_at:
                parts.append(_OMITTED)
            if entry & S.ACTIVATION_MARK:
                activations.append((tuple(parts), entry ^ S.ACTIVATION_MARK))
                parts = []
            elif number or top:
                # A return address may lie behind the last instruction of the caller.
                site = self._log.site(entry - 1, record.position)
                if site is not None and not site.same_activation:
                    parts.append(site)
            else:
                parts.append(self._log.site(entry, record.position) or self._native_frame(entry))
        return top, tuple(activations)

    def _native_frame(self, pc: int) -> Frame:
        if self._native is None:
            functions = runtime_functions()
            self._native = [function.start for function in functions], functions
        starts, functions = self._native
        position = bisect_right(starts, pc) - 1
        if position >= 0 and pc < functions[position].end:
            return Frame(functions[position].name, "", 0)
        return _NATIVE

    def _stack(self, raw: Raw) -> Stack:
        stack = self._waiting.get(raw)
        if stack is None:
            stack = Stack()
            self._finish(raw, stack)
        return stack

    def _finish(self, raw: Raw, stack: Stack) -> None:
        """Put a stack together, or have it wait for the Python frames below an activation."""
        for _, id_ in raw[1]:
            if id_ not in self._chains:
                self._waiting[raw] = stack
                self._waiting_for.setdefault(id_, []).append(raw)
                return
        self._waiting.pop(raw, None)
        parts = self._parts(raw)
        stack.parts = self._known_parts.setdefault(parts, parts)

    def _go_on(self, id_: int) -> None:
        """The Python frames below this activation are known now."""
        for raw in self._waiting_for.pop(id_, ()):
            self._finish(raw, self._waiting[raw])

    def _forget_chains(self) -> None:
        """Those of activations that are over and that nobody waits with are not needed any more."""
        wanted = {id_ for raw in self._waiting for _, id_ in raw[1]}
        self._chains = {id_: chain for id_, chain in self._chains.items() if id_ in wanted}
        self._many_chains = 2 * len(self._chains) + _MANY

    def _parts(self, raw: Raw) -> tuple[Part, ...]:
        """The stack, outermost first. An activation that began before the profile, and is not over, is left out: nobody
        knows which Python frames are below it."""
        top, activations = raw
        found: list[Part] = []
        below: Chain = ()
        for parts, id_ in reversed(activations):
            chain = self._chains.get(id_)
            if chain is not None:
                found += reversed(_above(chain, below))
                found += reversed(parts)
                below = chain
        found += reversed(_above(top, below))
        return tuple(found)

    # --- afterwards -------------------------------------------------------------------------------

    def timelines(self) -> list[Timeline]:
        """What each thread did, when. Raises Error while the profile runs."""
        if not self.ended:
            raise Error("the profile is not over")
        frames: dict[Part, tuple[Frame, ...]] = {}

        def resolved(stack: Stack) -> tuple[Frame, ...]:
            assert stack.parts is not None
            found: list[Frame] = []
            for part in stack.parts:
                if part not in frames:
                    frames[part] = _frames_of(part)
                found += frames[part]
            return tuple(found)

        cache: dict[int, tuple[Frame, ...]] = {}

        def of(stack: Stack) -> tuple[Frame, ...]:
            known = cache.get(id(stack))
            if known is None:
                known = cache[id(stack)] = resolved(stack)
            return known

        found = []
        for thread in self._threads.values():
            stacks = map(of, thread.stacks)
            samples = [Sample(*row) for row in zip(thread.times, thread.firsts, thread.ticks, stacks, strict=True)]
            looks = [Look(at, of(stack)) for at, stack in thread.looks]
            found.append(timeline(thread.id, thread.name, samples, looks, self.period))
        return found

    def seconds(self) -> dict[tuple[str, ...], float]:
        """Seconds for each stack of names, outermost first, of all threads together. `(idle)`: nobody looked."""
        found: dict[tuple[str, ...], float] = {}
        for line in self.timelines():
            for span in line.spans:
                names = tuple(frame.name for frame in span.stack) or ("(idle)",)
                found[names] = found.get(names, 0.0) + (span.end - span.start) / 1e9
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the profile for speedscope, the Firefox profiler or Chrome's developer tools. Raises OSError."""
        from wasmark.debug.chrome_trace import write

        write(path, self.timelines(), self.began, self.period)


def _above(chain: Chain, below: Chain) -> Chain:
    """The frames of a chain that are not those of the activation around it."""
    count = len(chain) - len(below)
    return chain[:count] if count >= 0 and chain[count:] == below else chain


def _frames_of(part: Part) -> tuple[Frame, ...]:
    """The frames of one place, outermost first: several where the source's compiler inlined functions, and debug
    information is wanted."""
    if isinstance(part, Frame):
        return (part,)
    frame = part.frame
    module = frame.module_name or "<module>"
    number = f"func[{frame.func_index}]"
    if not frame.module.wants_debug_info:
        name = frame.func_name
        return (Frame(f"{module}!{number if name is None else demangled(name)}", f"wasm://{module}", 0),)
    return tuple(
        Frame(f"{module}!{symbol.name or number}", symbol.file or f"wasm://{module}", 0)
        for symbol in reversed(frame.symbols)
    )


def profile(rate: int = 1000) -> Profile:
    """A profile for a `with` block: `with wasmark.profile() as p: ...; p.save("out.json")`.

    rate: samples a second. Raises ValueError.
    """
    return Profile(rate)
