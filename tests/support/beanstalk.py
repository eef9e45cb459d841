"""As much of a beanstalkd as takes jobs: the commands ``use`` and ``put`` of its protocol, version 1.13."""

import threading
from collections import defaultdict
from itertools import count
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Self


class _Connection(StreamRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        tube = "default"
        while words := self.rfile.readline().decode().split():
            if words[0] == "use":
                tube = words[1]
                self._say(f"USING {tube}")
            elif words[0] == "put":
                self._put(tube, int(words[4]))
            else:
                self._say("UNKNOWN_COMMAND")

    def _put(self, tube: str, length: int) -> None:
        job = self.rfile.read(length)
        if self.rfile.read(2) != b"\r\n":
            self._say("EXPECTED_CRLF")
            return
        self.server.jobs[tube].append(job)
        self._say(f"INSERTED {next(self.server.ids)}")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class _Server(ThreadingTCPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.jobs: defaultdict[str, list[bytes]] = defaultdict(list)
        self.ids = count(1)


class Beanstalkd:
    """Takes jobs while it is open, and keeps them."""

    def __init__(self) -> None:
        self._server = _Server()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def jobs(self, tube: str) -> list[bytes]:
        """Gives the jobs of a tube."""
        return self._server.jobs[tube]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
