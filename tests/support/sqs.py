"""A server that speaks SQS, in place of Amazon's: that of moto, in a process of its own."""

import socket
import subprocess
import sys
from contextlib import suppress
from typing import Any, Self

import boto3  # type: ignore[import-untyped]

from support.wire import wait_until

REGION = "eu-west-1"


def environment(url: str) -> dict[str, str]:
    """Gives the variables by which boto3 finds a server and credentials, and looks for neither elsewhere."""
    return {
        "AWS_ENDPOINT_URL_SQS": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


class SqsServer:
    """Speaks SQS at loopback, while it is open."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def client(self) -> Any:
        """Gives boto3's client for it."""
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        return boto3.client("sqs", region_name=REGION, endpoint_url=self.url, **keys)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "moto.server", "-p", str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the server of moto did not start"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
            return True
        return False
