from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.commands import Commands, run_process
from thornsdk import Secret, SigningKey, hook_hmac, standard_webhooks, standard_webhooks_v1a
from thornsdk.model import Digest

SECRET = "s3cret"
BODY = b'{"id":42}'


def hook_headers() -> list[str]:
    signature = hook_hmac(Secret(SECRET).key, BODY, Digest.SHA256)
    return ["--header", f"Hook-HMAC: {signature}", "--header", "Hook-Event: order.created"]


def standard_headers(timestamp: int, signature: str = "") -> list[str]:
    signature = signature or standard_webhooks(Secret(SECRET).key, "id-1", timestamp, BODY)
    headers = {"webhook-id": "id-1", "webhook-timestamp": timestamp, "webhook-signature": signature}
    return [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]


def test_an_authentic_message_is_exit_code_0() -> None:
    ran = run_process("verify", "--secret", SECRET, *hook_headers(), stdin=BODY.decode())
    assert (ran.code, ran.out, ran.err) == (0, "authentic by hook-hmac: order.created\n", "")


def test_a_changed_body_is_exit_code_1(run: Commands) -> None:
    ran = run("verify", "--secret", SECRET, *hook_headers(), "--body", "tampered")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: Hook-HMAC does not match the body")


def test_the_body_comes_from_a_file_byte_by_byte(run: Commands, tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(BODY)
    assert run("verify", "--secret", SECRET, *hook_headers(), "--body", f"@{path}").code == 0
    path.write_bytes(BODY + b"\n")
    assert run("verify", "--secret", SECRET, *hook_headers(), "--body", f"@{path}").code == 1


def test_machines_get_one_line(run: Commands) -> None:
    now = int(datetime.now(UTC).timestamp())
    ran = run("verify", "--secret", "old", "--secret", SECRET, *standard_headers(now), "--json", stdin=BODY)
    assert ran.code == 0
    assert ran.json == [
        {
            "verified": "standard-webhooks",
            "problem": None,
            "event": None,
            "delivery": "id-1",
            "sent_at": datetime.fromtimestamp(now, UTC).isoformat(),
        }
    ]
    assert run("verify", "--secret", SECRET, *hook_headers(), "--json", stdin=BODY).json[0]["sent_at"] is None


def test_machines_get_the_problem_too(run: Commands) -> None:
    ran = run("verify", "--secret", SECRET, "--json", stdin=BODY)
    assert ran.code == 1
    problem = "the message is not signed: it has no webhook-signature or Hook-HMAC header"
    assert ran.json == [{"verified": None, "problem": problem}]


def test_a_message_that_was_captured_long_ago_is_verified_on_demand(run: Commands) -> None:
    args = ["verify", "--secret", SECRET, *standard_headers(1_700_000_000), "--body", BODY.decode()]
    refused = run(*args)
    assert refused.code == 1
    assert refused.err.endswith("s old; 300 s are tolerated\n")
    assert run(*args, "--tolerance", 1e10).code == 0


def test_headers_of_a_stranger_cannot_steer_the_terminal(run: Commands) -> None:
    headers = [*hook_headers(), "--header", "Hook-Delivery: \x1b[2J"]
    ran = run("verify", "--secret", SECRET, *headers, "--body", BODY.decode())
    assert ran.out == "authentic by hook-hmac: order.created \\x1b[2J\n"


def test_a_message_that_names_nothing_is_authentic_too(run: Commands) -> None:
    ran = run("verify", "--secret", SECRET, *hook_headers()[:2], "--body", BODY.decode())
    assert ran.out == "authentic by hook-hmac: no id was sent\n"


def test_a_public_key_verifies_without_a_secret(run: Commands) -> None:
    key, now = SigningKey.generate(), int(datetime.now(UTC).timestamp())
    headers = standard_headers(now, standard_webhooks_v1a(key, "id-1", now, BODY))
    ran = run("verify", "--public-key", key.public_key, *headers, stdin=BODY)
    assert (ran.code, ran.out, ran.err) == (0, "authentic by ed25519: id-1\n", "")
    ran = run("verify", "--public-key", SigningKey.generate().public_key, *headers, stdin=BODY)
    assert ran.code == 1
    assert ran.err.startswith("error: webhook-signature does not match: another public key")


def test_a_public_key_takes_nothing_that_a_secret_signed(run: Commands) -> None:
    now = int(datetime.now(UTC).timestamp())
    ran = run("verify", "--public-key", SigningKey.generate().public_key, *standard_headers(now), stdin=BODY)
    assert ran.code == 1
    assert ran.err == "error: webhook-signature has no v1a signature, and no other is accepted\n"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "there is nothing to verify with: give --secret or --public-key"),
        (["--public-key", "hunter2"], "a public key is whpk_ and then base64 of 32 bytes"),
        (
            ["--public-key", "whsk_hunter2"],
            "a public key is wanted, which starts with whpk_; this one is private",
        ),
    ],
)
def test_without_a_key_that_can_verify_it_is_wrong_usage(run: Commands, flags: list[str], told: str) -> None:
    ran = run("verify", *flags, *hook_headers(), "--body", "x")
    assert (ran.code, ran.err) == (2, f"error: {told}\n")


def test_an_empty_secret_is_wrong_usage(run: Commands) -> None:
    ran = run("verify", "--secret", "", *hook_headers(), "--body", "x")
    assert (ran.code, ran.err) == (
        2,
        "error: a secret must not be empty; thornsdk makes one where none is given\n",
    )
