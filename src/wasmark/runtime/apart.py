"""Work that no Python signal handler may cut short or come in the middle of: it is done in another thread, for they run
in the main one only. A handler may raise, and it may call the very function that it interrupts, which would then wait
for a lock of its own thread.

The thread is a bare one. Starting a `threading.Thread` takes locks in Python, and an exception in the middle of that
leaves one of them held for ever.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps: its functions make an enum of every answer
import _thread
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeVar

    _T = TypeVar("_T")

_SIGNALS: Final = range(1, _signal.NSIG)
_HARMLESS: Final = (_signal.default_int_handler, _signal.SIG_DFL, _signal.SIG_IGN, None)
"""Handlers that call nothing of ours."""


def run_apart(function: Callable[[], _T]) -> _T:
    """What a function returns or raises in another thread. An exception that comes while this one waits comes out, and
    the other thread goes on to the end."""
    results: list[_T] = []
    errors: list[BaseException] = []
    done = _thread.allocate_lock()

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)
        finally:
            done.release()

    done.acquire()
    _thread.start_new_thread(run, ())
    done.acquire()
    if errors:
        raise errors.pop()
    return results.pop()  # and the other thread, which may not have ended yet, keeps nothing alive


def unbroken(function: Callable[[], _T]) -> _T:
    """What a function returns or raises that holds a lock: called in this thread, or apart where a Python signal
    handler could come in between and want the same lock. The function survives an exception at every step."""
    if in_main_thread() and not sys.is_finalizing() and _has_handlers():
        return run_apart(function)
    return function()


def in_main_thread() -> bool:
    """Whether Python signal handlers run in this thread."""
    return _thread.get_ident() == threading.main_thread().ident


def _has_handlers() -> bool:
    get = _signal.getsignal
    return any(get(number) not in _HARMLESS for number in _SIGNALS)
