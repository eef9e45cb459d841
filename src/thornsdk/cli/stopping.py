"""Ctrl-C and SIGTERM: each ends a command in order, once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN = signal.SIGALRM
"""What comes a moment after a signal that came at a wrong time."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, _AGAIN)
_MOMENT = 0.01
_IMPORTING = "<frozen importlib"


@contextmanager
def stoppable() -> Iterator[None]:
    """Makes Ctrl-C and SIGTERM raise `KeyboardInterrupt` inside, the first time; nothing stops the clean-up.

    A shell starts what runs in the background with Ctrl-C ignored; in here it counts there too.
    """
    before = [signal.signal(one, _stop) for one in _SIGNALS]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)


def _stop(_number: int, frame: FrameType | None) -> None:
    if frame is not None and frame.f_code.co_filename.startswith(_IMPORTING):
        # The import system swallows what is raised in the release of its locks, and prints it.
        signal.setitimer(signal.ITIMER_REAL, _MOMENT)
        return
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


def stop_if_asked() -> None:
    """Raises `KeyboardInterrupt` again, inside `stoppable`, where a library has swallowed it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        raise KeyboardInterrupt
