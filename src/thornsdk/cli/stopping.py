"""Ctrl-C and SIGTERM: each ends a command in order, once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN = signal.SIGALRM
"""What comes a moment after a signal that came at a wrong time."""
_ASKING = (signal.SIGINT, signal.SIGTERM)
_SIGNALS = (*_ASKING, _AGAIN)
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


class StopFlag:
    """Says whether somebody has asked to stop."""

    def __init__(self) -> None:
        self._asked = False

    def ask(self) -> None:
        """Asks to stop."""
        self._asked = True

    def __call__(self) -> bool:
        """Tells it."""
        return self._asked


@contextmanager
def asked_to_stop() -> Iterator[StopFlag]:
    """Lets Ctrl-C and SIGTERM ask to stop, in here; the second time they end the process as ever.

    A shell starts what runs in the background with Ctrl-C ignored; in here it counts there too.
    """
    flag, before = StopFlag(), {one: signal.getsignal(one) for one in _ASKING}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(_number: int, _frame: FrameType | None) -> None:
        flag.ask()
        restore()

    for one in _ASKING:
        signal.signal(one, ask)
    try:
        yield flag
    finally:
        restore()


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
