"""Work that no Python signal handler may cut short: it is done in another thread, for they run in the main one only.

The thread is a bare one. Starting a `threading.Thread` takes locks in Python, and an exception in the middle of that
leaves one of them held for ever.
"""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    _T = TypeVar("_T")


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
        raise errors[0]
    return results[0]
