"""A receiver of webhooks in Python: WEBHOOK_SECRETS="whsec_…" PORT=8080 python receiver.py."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from thornsdk import Secret
from thornsdk.errors import InvalidSignature
from thornsdk.receive import Scheme, verify

LARGEST = 1024 * 1024
SECRETS = [Secret(one) for one in os.environ["WEBHOOK_SECRETS"].split()]


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(self.receive())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def receive(self) -> int:
        length = int(self.headers.get("Content-Length", "0"))
        if not 0 <= length <= LARGEST:
            return 413
        body = self.rfile.read(length)
        try:
            message = verify(self.headers, body, secrets=SECRETS, accept=[Scheme.STANDARD_WEBHOOKS])
        except InvalidSignature:
            return 401
        print(f"{message.id}: {message.event}", flush=True)  # Put it into a queue; drop an id that you know.
        return 204


if __name__ == "__main__":
    if not SECRETS:
        raise SystemExit("WEBHOOK_SECRETS has no secret in it")
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
