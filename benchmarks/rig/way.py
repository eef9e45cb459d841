"""A way to send, in a process of its own: started once, then measured round by round."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self, TypeAlias

from attrs import asdict, frozen

_HERE = Path(__file__).parents[1]

Deliver: TypeAlias = Callable[[int], object]
"""Sends so many requests, and ends when all are answered with 200. Raises if one is not."""


@frozen(kw_only=True)
class Target:
    """What a way is to send, and where.

    Attributes:
        urls: Where, one after the other, and from the beginning again.
        payload: What: an event's payload, which ``body`` is the JSON of.
        body: The same as text, ready to be sent.
        ca_bundle: The PEM file of the authorities to trust; empty without TLS.
        options: What this way is told besides.
    """

    urls: list[str]
    payload: dict[str, str]
    body: str
    ca_bundle: str = ""
    options: Mapping[str, Any] = {}

    def __attrs_post_init__(self) -> None:
        assert json.loads(self.body) == self.payload


Opened: TypeAlias = Callable[[Target], AbstractContextManager[Deliver]]
"""What a module of ``rig.peers`` has under the name ``opened``."""


@frozen(kw_only=True)
class Cost:
    """What it took to send some requests.

    Attributes:
        seconds: How long it took.
        cpu: How many seconds of CPU the process has used for it.
        peak_mb: The most memory that the process has had in use since it was started, in MB.
    """

    seconds: float
    cpu: float
    peak_mb: float


class WayMissing(Exception):
    """What a way needs is not installed."""


class Way:
    """The process of a way. It has ended when the block ends.

    Args:
        module: The module of ``rig.peers`` that sends.
        target: What it is to send, and where.

    Raises:
        WayMissing: If what it needs is not installed.
    """

    def __init__(self, module: str, target: Target) -> None:
        command = [sys.executable, "-m", "rig.way_process", module]
        path = os.pathsep.join(filter(None, (str(_HERE), os.environ.get("PYTHONPATH"))))
        self._module = module
        self._process = subprocess.Popen(
            command,
            env={**_environ(), "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        try:
            problem = self._ask(asdict(target))["missing"]
        except BaseException:
            self._end()
            raise
        if problem is not None:
            self._end()
            raise WayMissing(problem)

    def deliver(self, count: int) -> Cost:
        """Sends so many requests.

        Raises:
            SystemExit: If one did not arrive; the process has said why.
        """
        return Cost(**self._ask(count))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._process.communicate()  # It ends when it is asked nothing more.

    def _ask(self, question: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self._module} failed")
        found: dict[str, Any] = json.loads(answer)
        return found


def _environ() -> dict[str, str]:
    """Gives the environment without what would change what is sent, or the way that it takes."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("THORN_") and not key.lower().endswith("_proxy")
    }
