"""Leases: for how long a process has a delivery to itself, and by which name."""

import os
import socket
from datetime import timedelta
from uuid import uuid4

_WAITS = 5
_READ_AHEAD = 10.0


def lease_time(timeout: float) -> timedelta:
    """Gives for how long a delivery is leased whose attempt has this deadline, in seconds.

    It must be short enough that what a killed process had taken is taken up soon, and long enough that no
    attempt is under way when it is over: see `time_needed`. Besides, a page that was claimed is read over
    some time: for as long as one receiver that hangs, and a little more.
    """
    return time_needed(timeout) + timedelta(seconds=timeout + _READ_AHEAD)


def time_needed(timeout: float) -> timedelta:
    """Gives what must be left of a lease when a delivery is read, so that its attempt ends in time.

    Where there are several transports, it may wait for one turn until its own has room (see `SideBySide`).
    """
    return attempt_time(timeout) + timedelta(seconds=timeout)


def attempt_time(timeout: float) -> timedelta:
    """Gives how long an attempt takes at most, from when its request is built.

    The request may wait for a place while four turns of others go to its origin (see `Places`); then it has
    its own time.
    """
    return timedelta(seconds=_WAITS * timeout)


class Holder:
    """Names this process as the holder of leases: its host, its number, and a random part.

    A number is given again when a process has ended; the random part tells the two apart. A process that was
    forked has a name of its own.
    """

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def __call__(self) -> str:
        """Gives the name of the process that asks."""
        process = os.getpid()
        name = f"{socket.gethostname()}:{process}:{uuid4().hex[:8]}"
        # Of several threads that ask first, one gives the name.
        return self._names.get(process) or self._names.setdefault(process, name)
