from datetime import UTC, datetime
from pathlib import Path

from support.commands import Commands, run_process
from thornsdk import Secret, hook_hmac, standard_webhooks
from thornsdk.model import Digest

SECRET = "s3cret"
BODY = b'{"id":42}'


def hook_headers() -> list[str]:
    signature = hook_hmac(Secret(SECRET).key, BODY, Digest.SHA256)
    return ["--header", f"Hook-HMAC: {signature}", "--header", "Hook-Event: order.created"]


def standard_headers(timestamp: int) -> list[str]:
    signature = standard_webhooks(Secret(SECRET).key, "id-1", timestamp, BODY)
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


def test_an_empty_secret_is_wrong_usage(run: Commands) -> None:
    ran = run("verify", "--secret", "", *hook_headers(), "--body", "x")
    assert (ran.code, ran.err) == (
        2,
        "error: a secret must not be empty; thornsdk makes one where none is given\n",
    )
