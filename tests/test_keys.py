import base64
import pickle
import sys
import traceback
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey as NaClSigningKey
from nacl.signing import VerifyKey as NaClVerifyKey
from rich.pretty import pretty_repr

from support.vectors import standard_webhooks_vectors, vectors
from thornsdk import PublicKey, SigningKey, as_signing_keys
from thornsdk.errors import InvalidKey, MissingPackageError

KEYS = [*vectors("ed25519_keys"), *vectors("http_message_signatures")[1:]]

seeds = st.binary(min_size=32, max_size=32)


def text(prefix: str, key: bytes) -> str:
    return prefix + base64.b64encode(key).decode()


def told(kind: type[SigningKey | PublicKey], given: str) -> str:
    with pytest.raises(InvalidKey) as caught:
        kind(given)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "hunter" not in "".join(traceback.format_exception_only(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("vector", KEYS)
def test_a_public_key_is_that_of_the_published_vectors(vector: dict[str, Any]) -> None:
    assert str(SigningKey(vector["key"]).public_key) == vector["public"]


@pytest.mark.parametrize("vector", vectors("ed25519_keys"))
def test_a_thumbprint_is_that_of_the_published_vector(vector: dict[str, Any]) -> None:
    assert PublicKey(vector["public"]).thumbprint == vector["thumbprint"]


@pytest.mark.parametrize("vector", standard_webhooks_vectors("v1a"))
def test_a_key_of_standard_webhooks_has_its_public_key_behind_it(vector: dict[str, Any]) -> None:
    key = SigningKey(vector["secret"])
    assert str(key.public_key) == vector["public"]
    assert key == SigningKey("whsk_" + base64.b64encode(base64.b64decode(vector["secret"][5:])[:32]).decode())


@given(seed=seeds)
def test_the_public_half_may_be_left_out_and_so_may_the_padding(seed: bytes) -> None:
    public = bytes(NaClSigningKey(seed).verify_key)
    whole, half = SigningKey(text("whsk_", seed + public)), SigningKey(text("whsk_", seed))
    unpadded = SigningKey(text("whsk_", seed).rstrip("="))
    assert whole == half == unpadded
    assert len({hash(whole), hash(half), hash(unpadded)}) == 1
    assert whole.public_key == half.public_key == PublicKey.from_key(public)


@given(seed=seeds, data=st.binary())
def test_another_implementation_verifies_what_we_sign_and_we_what_it_signs(seed: bytes, data: bytes) -> None:
    ours, theirs = SigningKey(text("whsk_", seed)), NaClSigningKey(seed)
    NaClVerifyKey(ours.public_key.key).verify(data, ours.sign(data))
    assert ours.public_key.verifies(theirs.sign(data).signature, data)


@given(signature=st.binary(max_size=80), data=st.binary())
def test_what_is_no_signature_verifies_nothing_and_breaks_nothing(signature: bytes, data: bytes) -> None:
    key = SigningKey(KEYS[0]["key"])
    assert not key.public_key.verifies(signature, data)
    assert not key.public_key.verifies(key.sign(data), data + b"!")
    with pytest.raises(BadSignatureError):
        NaClVerifyKey(key.public_key.key).verify(data + b"!", key.sign(data))


def anything(prefix: str) -> st.SearchStrategy[str]:
    """Texts that are keys, nearly keys, and no keys at all."""
    return st.text() | st.text().map(prefix.__add__) | st.binary().map(lambda key: text(prefix, key))


@given(given=anything("whsk_"))
def test_any_text_is_a_signing_key_or_refused(given: str) -> None:
    with suppress(InvalidKey):
        assert SigningKey(given).reveal() == given


@given(given=anything("whpk_"))
def test_any_text_is_a_public_key_or_refused(given: str) -> None:
    with suppress(InvalidKey):
        assert PublicKey(str(PublicKey(given))) == PublicKey(given)


@given(key=seeds)
def test_a_public_key_is_its_32_bytes(key: bytes) -> None:
    assert PublicKey(text("whpk_", key)).key == key
    assert PublicKey(text("whpk_", key).rstrip("=")) == PublicKey.from_key(key)
    assert hash(PublicKey.from_key(key)) == hash(PublicKey.from_key(key))
    assert PublicKey.from_key(key) != text("whpk_", key)


def test_generated_keys_are_new_and_have_their_public_key_in_them() -> None:
    one, other = SigningKey.generate(), SigningKey.generate()
    assert one != other
    assert one != one.reveal()
    assert base64.b64decode(one.reveal().removeprefix("whsk_"))[32:] == one.public_key.key
    assert SigningKey(one.reveal()) == one


SIGNING = "a signing key is whsk_ and then base64 of 32 bytes, or of 64 with those of its public key behind"
PUBLIC = "a public key is whpk_ and then base64 of 32 bytes"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", SIGNING),
        ("hunter2", SIGNING),
        ("whsec_hunter2hunter2", SIGNING),
        ("whsk_", SIGNING),
        ("whsk_hunter2", SIGNING),
        ("whsk_hunter2é", SIGNING),
        (text("whsk_", b"hunter2" * 9), SIGNING),
        ("whpk_hunter2", "a signing key is wanted, which starts with whsk_; this one is public"),
        (
            text("whsk_", b"hunter2" * 9 + b"!"),
            "this signing key is damaged: the public key in it belongs to another one",
        ),
    ],
)
def test_what_cannot_be_a_signing_key_is_refused_and_never_quoted(given: str, message: str) -> None:
    assert told(SigningKey, given) == message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", PUBLIC),
        ("hunter2", PUBLIC),
        ("whpk_hunter2", PUBLIC),
        (text("whpk_", b"hunter2" * 9 + b"!"), PUBLIC),
        ("whsk_hunter2", "a public key is wanted, which starts with whpk_; this one is private"),
    ],
)
def test_what_cannot_be_a_public_key_is_refused_and_never_quoted(given: str, message: str) -> None:
    assert told(PublicKey, given) == message


def test_no_way_to_show_a_signing_key_shows_it() -> None:
    key = SigningKey(KEYS[0]["key"])
    assert repr(key) == str(key) == "SigningKey(***)"
    assert KEYS[0]["key"][5:20] not in f"{key} {[key]} {pretty_repr(key)}"


def test_a_public_key_shows_what_is_to_be_published() -> None:
    key = PublicKey(KEYS[0]["public"])
    assert str(key) == KEYS[0]["public"]
    assert repr(key) == f"PublicKey('{KEYS[0]['public']}')"


def test_keys_pickle() -> None:
    key = SigningKey(KEYS[0]["key"])
    again = pickle.loads(pickle.dumps(key))
    assert (again, again.public_key, again.reveal()) == (key, key.public_key, key.reveal())
    assert again.sign(b"data") == key.sign(b"data")


def test_one_key_or_several_are_taken() -> None:
    one, other = SigningKey.generate(), SigningKey.generate()
    assert as_signing_keys(one) == as_signing_keys(one.reveal()) == (one,)
    assert as_signing_keys([one, other.reveal()]) == (one, other)
    assert as_signing_keys(()) == ()


@pytest.mark.parametrize(("kind", "given"), [(SigningKey, KEYS[0]["key"]), (PublicKey, KEYS[0]["public"])])
def test_where_the_package_is_missing_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, kind: type[SigningKey | PublicKey], given: str
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(
        MissingPackageError, match=r"Ed25519 is unavailable .*pip install 'thornsdk\[ed25519\]'"
    ):
        kind(given)
