"""Runs the receivers of the docs, each in its own language."""

import base64
import http.client
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from attrs import frozen

from thornsdk.typing import Headers

FOLDER = Path(__file__).parents[2] / "docs" / "receivers"

Post: TypeAlias = Callable[[Headers, bytes], int]
"""Gives a message to a receiver, and gives the status that it answers."""


class Refused(Exception):
    """The receiver would not run. One in PHP has no start: it refuses each message with 500."""


@frozen
class Language:
    """How the receiver of a language is run.

    Attributes:
        program: What runs it, as it is called.
        run: Runs it with these secrets while it is open.
    """

    program: str
    run: Callable[[str], Any]


@frozen
class Server:
    """A receiver that listens at a port."""

    port: int

    def __call__(self, headers: Headers, body: bytes) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", "/hooks", body, dict(headers))
            status = connection.getresponse().status
        finally:
            connection.close()
        if status == 500:
            raise Refused("it answered 500")
        return status

    def abort(self, *, reset: bool) -> None:
        """Begins to send a message, and goes away before all of it is sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{}\n")
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def _served(command: list[str], secrets: str) -> Iterator[Post]:
    """Runs a receiver that listens at a port itself."""
    port = _free_port()
    words = [one.replace("PORT", str(port)) for one in command]
    env = {**os.environ, "WEBHOOK_SECRETS": secrets, "PORT": str(port)}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            _wait_for(port, process)
            yield Server(port)
        finally:
            process.terminate()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    give_up_at = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None:
                raise Refused(process.communicate()[0].decode()) from None
            assert time.monotonic() < give_up_at, "the receiver does not listen"
            time.sleep(0.02)
        else:
            return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


_RACK = """
require "json"
require "stringio"
def run(app) = @app = app
load ARGV.fetch(0)
given = JSON.parse($stdin.read)
env = given["headers"].to_h { |name, value| ["HTTP_" + name.upcase.tr("-", "_"), value] }
body = given["body"].unpack1("m")
env["rack.input"] = StringIO.new(body) unless body.empty? # Servers may leave it out.
print @app.call(env.merge("REQUEST_METHOD" => "POST")).first
"""


@contextmanager
def _racked(secrets: str) -> Iterator[Post]:
    """Runs a receiver that some server of Rack would run."""

    def post(headers: Headers, body: bytes) -> int:
        given = json.dumps({"headers": headers, "body": base64.b64encode(body).decode()})
        command = ["ruby", "-e", _RACK, str(FOLDER / "receiver.ru")]
        done = _run(command, secrets, given.encode())
        if done.returncode != 0:
            raise Refused(done.stderr.decode())
        return int(done.stdout)

    yield post


@contextmanager
def _by_hand(secrets: str) -> Iterator[Post]:
    """Runs the script that verifies one message; its exit code stands for the status of an answer."""

    def post(headers: Headers, body: bytes) -> int:
        found = {name.lower(): value for name, value in headers}
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        command = [str(FOLDER / "verify.sh"), *(found.get(name, "") for name in names)]
        done = _run(command, secrets, body)
        if done.returncode not in {0, 1}:
            raise Refused(done.stderr.decode())
        return 401 if done.returncode else 204

    yield post


def _run(command: list[str], secrets: str, given: bytes) -> "subprocess.CompletedProcess[bytes]":
    env = {**os.environ, "WEBHOOK_SECRETS": secrets}
    return subprocess.run(command, input=given, env=env, capture_output=True, check=False, timeout=20)


def _server(*command: str) -> Callable[[str], Any]:
    return lambda secrets: _served(list(command), secrets)


LANGUAGES: Final = {
    "Python": Language(sys.executable, _server(sys.executable, str(FOLDER / "receiver.py"))),
    "Node": Language("node", _server("node", str(FOLDER / "receiver.mjs"))),
    "PHP": Language("php", _server("php", "-S", "127.0.0.1:PORT", str(FOLDER / "receiver.php"))),
    "Ruby": Language("ruby", _racked),
    "shell": Language("openssl", _by_hand),
}


def each_language(*, without: Container[str] = ()) -> list[Any]:
    """Gives the languages as parameters for pytest; one that cannot run here is skipped, and says why."""
    return [_parameter(name, one) for name, one in LANGUAGES.items() if name not in without]


def _parameter(name: str, language: Language) -> Any:
    reason = f"the receiver in {name} is not tested: install {language.program}"
    marks = [] if shutil.which(language.program) else [pytest.mark.skip(reason=reason)]
    return pytest.param(name, marks=marks)
