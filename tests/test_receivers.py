"""The receivers that the docs show, each run in its own language on what was really sent."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import OpenThorn
from support.receivers import FOLDER, LANGUAGES, Post, Refused, Server, each_language
from thornsdk import Secret, hook_hmac, standard_webhooks
from thornsdk.testing import Endpoint
from thornsdk.typing import Headers

SECRET = "whsec_bmV3IHNlY3JldCBvZiBhIHRlc3Q="
BODY = '{"snow":"☃"}'.encode()


@pytest.fixture(scope="module", params=each_language())
def language(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def post(language: str) -> Iterator[Post]:
    """A receiver that knows the secret."""
    with LANGUAGES[language].run(SECRET) as one:
        yield one


def signed(secret: bytes = b"new secret of a test", age: float = 0, body: bytes = BODY) -> Headers:
    timestamp = int(time.time() - age)
    signature = standard_webhooks(secret, "a delivery", timestamp, body)
    return (
        ("webhook-id", "a delivery"),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", signature),
    )


def without(headers: Headers, name: str) -> Headers:
    return tuple((key, value) for key, value in headers if key != name)


def test_what_was_sent_is_accepted(post: Post, endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(endpoint)
    thorn.subscribe("*", endpoint.url, secret=SECRET)
    thorn.event("order.created").send({"snow": "☃"})
    (seen,) = endpoint.seen
    headers = without(without(seen.headers, "Host"), "Content-Length")
    assert post(headers, seen.body) == 204
    assert post(headers, seen.body + b" ") == 401


@pytest.mark.parametrize("body", [b"", bytes(range(256)), b"a\r\n\0b\n"], ids=["empty", "binary", "lines"])
def test_the_bytes_of_the_body_count(body: bytes, post: Post) -> None:
    assert post(signed(body=body), body) == 204


def test_one_of_several_signatures_is_enough(post: Post) -> None:
    (_, _, (name, signature)) = headers = signed()
    several = f"v1,{'A' * 43}= v1a,other v1 {signature} v2,{signature[3:]}"
    assert post((*headers[:2], (name, several)), BODY) == 204


@pytest.mark.parametrize("age", [-290, 290])
def test_clocks_may_differ_by_five_minutes(age: float, post: Post) -> None:
    assert post(signed(age=age), BODY) == 204


@pytest.mark.parametrize("age", [-310, 310, 1e8])
def test_what_is_too_old_or_ahead_of_time_is_refused(age: float, post: Post) -> None:
    assert post(signed(age=age), BODY) == 401


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_what_lacks_a_header_is_refused(name: str, post: Post) -> None:
    assert post(without(signed(), name), BODY) == 401


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "another delivery"),
        ("webhook-timestamp", "1e9"),
        ("webhook-timestamp", "-1"),
        ("webhook-timestamp", "9" * 40),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v2"),
    ],
)
def test_what_was_changed_is_refused(name: str, value: str, post: Post) -> None:
    assert post((*without(signed(), name), (name, value)), BODY) == 401


def test_another_secret_is_refused(post: Post) -> None:
    assert post(signed(b"another secret"), BODY) == 401


def test_either_secret_is_accepted_while_it_is_rotated(language: str) -> None:
    with LANGUAGES[language].run("whsec_bmV3 ümlaut") as post:
        statuses = [post(signed(key), BODY) for key in (b"new", "ümlaut".encode(), b"another")]
    assert statuses == [204, 204, 401]


@pytest.mark.parametrize("secrets", ["", " ", "whsec_", "s whsec_"])
def test_without_a_secret_or_with_an_empty_one_it_does_not_run(secrets: str, language: str) -> None:
    with pytest.raises(Refused), LANGUAGES[language].run(secrets) as post:
        post(signed(b""), BODY)


@pytest.mark.parametrize("secrets", [" s", "s ", "s  t", "s\tt\n"])
def test_white_space_around_secrets_makes_no_empty_one(secrets: str, language: str) -> None:
    with LANGUAGES[language].run(secrets) as post:
        assert [post(signed(key), BODY) for key in (b"s", b"")] == [204, 401]


def test_a_secret_is_no_pattern_of_file_names(language: str) -> None:
    secret = f"{FOLDER}/*"
    with LANGUAGES[language].run(secret) as post:
        assert post(signed(secret.encode()), BODY) == 204


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("language", each_language(without={"Ruby", "shell"}), indirect=True)
def test_a_sender_that_goes_away_harms_no_other(reset: bool, post: Post) -> None:
    assert isinstance(post, Server)
    post.abort(reset=reset)
    assert [post(signed(), BODY) for _ in range(2)] == [204, 204]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the command of the page needs openssl")
@pytest.mark.parametrize("secret", [Secret.generate(), Secret("ümlaut")], ids=["whsec_", "text"])
def test_the_command_of_the_page_prints_hook_hmac(secret: Secret, tmp_path: Path) -> None:
    page = (FOLDER.parent / "how-to" / "receive.md").read_text(encoding="utf-8")
    command = "\n".join(re.findall(r"(?m)^\$ (.*)", page))
    if not secret.reveal().startswith("whsec_"):
        command = command.replace("openssl base64 -d -A |", "")
    (tmp_path / "body.json").write_bytes(BODY)
    env = {**os.environ, "SECRET": secret.reveal()}
    printed = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, check=True)
    assert printed.stdout.decode() == hook_hmac(secret.key, BODY)


def test_the_page_shows_every_receiver() -> None:
    page = (FOLDER.parent / "how-to" / "receive-anywhere.md").read_text(encoding="utf-8")
    assert [one.name for one in FOLDER.iterdir() if f"../receivers/{one.name}\n" not in page] == []
