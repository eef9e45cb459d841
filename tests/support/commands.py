"""Runs commands of thornsdk, in this process or in one of its own."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from attrs import define, frozen

from thornsdk.cli import main


class Screen(io.TextIOWrapper):
    """What a command prints to."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    @property
    def text(self) -> str:
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        return raw.getvalue().decode()


@frozen
class Ran:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@define
class Commands:
    """Runs commands in this process, with the same settings each time."""

    patch: pytest.MonkeyPatch

    def __call__(self, *args: object, stdin: bytes = b"", screen: Screen | None = None) -> Ran:
        out, err = screen or Screen(), Screen()
        code = self.printing_to(out, err, *args, stdin=stdin)
        return Ran(code, out.text, err.text)

    def printing_to(self, out: io.TextIOWrapper, err: Screen, *args: object, stdin: bytes = b"") -> int:
        """Runs a command that prints somewhere, and gives its exit code."""
        with self.patch.context() as patch:
            patch.setattr(sys, "argv", ["thornsdk", *map(str, args)])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as ended:
                main()
        code = ended.value.code
        return code if isinstance(code, int) else 0


def send_one(run: Commands, *, url: str) -> UUID:
    """Subscribes a URL, sends one message to it, and gives the delivery's id."""
    run("subscribe", url, "--event", "*")
    (only,) = run("send", "order.created", "--data", "1", "--json").json
    return UUID(only["delivery"])


@contextmanager
def process(
    *args: object, env: dict[str, str] | None = None, **pipes: Any
) -> Iterator["subprocess.Popen[str]"]:
    """Starts a command in a process of its own, with more variables in its environment.

    It has ended when the block ends.
    """
    command = [sys.executable, "-m", "thornsdk", *map(str, args)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes}
    with subprocess.Popen(command, text=True, env={**os.environ, **(env or {})}, **pipes) as running:
        try:
            yield running
        finally:
            running.kill()


def run_process(*args: object, stdin: str = "") -> Ran:
    """Runs a command in a process of its own."""
    with process(*args, stdin=subprocess.PIPE) as running:
        out, err = running.communicate(stdin, timeout=50)
    return Ran(running.returncode, out, err)


def broken_pipe() -> io.TextIOWrapper:
    """Gives the end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return io.TextIOWrapper(os.fdopen(writing, "wb"), encoding="utf-8")


def store_url(folder: Path) -> str:
    """Gives the URL of a store in a folder."""
    return f"sqlite:///{folder / 'thorn.db'}"
