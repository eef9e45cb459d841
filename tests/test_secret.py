import base64
import pickle
import traceback
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from thornsdk import OldSecret, Secret
from thornsdk.errors import InvalidSecret, InvalidValue

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@given(key=st.binary(min_size=1))
def test_a_prefixed_secret_means_the_decoded_bytes(key: bytes) -> None:
    assert Secret("whsec_" + base64.b64encode(key).decode()).key == key
    assert Secret.from_key(key).key == key


@given(text=st.text(min_size=1).filter(lambda text: not text.startswith("whsec_")))
def test_any_other_secret_means_its_utf8_bytes(text: str) -> None:
    assert Secret(text).key == text.encode()
    assert Secret(text).reveal() == text


def test_the_padding_of_base64_may_be_left_out() -> None:
    assert Secret("whsec_QQ").key == Secret("whsec_QQ==").key == b"A"


def test_secrets_are_equal_when_their_bytes_are() -> None:
    assert Secret("A") == Secret("whsec_QQ==")
    assert hash(Secret("A")) == hash(Secret("whsec_QQ=="))
    assert Secret("A") != Secret("B")
    assert Secret("A") != "A"


def test_generated_secrets_have_32_random_bytes_in_the_prefixed_form() -> None:
    one, other = Secret.generate(), Secret.generate()
    assert len(one.key) == len(other.key) == 32
    assert one != other
    assert one.reveal().startswith("whsec_")


def test_no_way_to_show_a_secret_shows_it() -> None:
    secret = Secret("hunter2hunter2")
    shown = f"{secret} {secret!r} {secret!s} {[secret]}"
    assert "hunter2" not in shown
    assert repr(secret) == "Secret(***)"


def test_a_secret_pickles() -> None:
    secret = Secret("whsec_QUJD")
    again = pickle.loads(pickle.dumps(secret))
    assert (again, again.reveal()) == (secret, "whsec_QUJD")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a secret must not be empty; thornsdk makes one where none is given"),
        ("whsec_", "a secret must not be empty; thornsdk makes one where none is given"),
        ("whsec_hunter2!", "a secret that starts with whsec_ must go on as base64"),
        ("whsec_hunter2-_", "a secret that starts with whsec_ must go on as base64"),
        ("whsec_hunter\n2", "a secret that starts with whsec_ must go on as base64"),
        ("whsec_hunter2é", "a secret that starts with whsec_ must go on as base64"),
        ("whsec_hunte", "a secret that starts with whsec_ must go on as base64"),
        ("hunter2\udcff", "a secret has a lone surrogate in it, which UTF-8 cannot hold"),
    ],
)
def test_what_cannot_be_a_secret_is_refused_and_never_quoted(text: str, message: str) -> None:
    with pytest.raises(InvalidSecret) as caught:
        Secret(text)
    assert str(caught.value) == message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "hunter" not in "".join(traceback.format_exception_only(caught.value))


def test_tools_that_show_attrs_classes_by_their_fields_show_no_secret() -> None:
    assert "hush" not in pretty_repr(Secret("hush"))


def test_the_end_of_an_old_secret_is_in_utc() -> None:
    old = OldSecret("old", NOW.astimezone(ZoneInfo("Asia/Tokyo")))
    assert old == OldSecret(Secret("old"), NOW)
    assert old.until.tzinfo is UTC


def test_an_end_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InvalidValue, match="the end of an old secret needs a time zone"):
        OldSecret("old", NOW.replace(tzinfo=None))


def test_an_old_secret_shows_when_it_ends_and_nothing_else() -> None:
    shown = repr(OldSecret("hunter2", NOW))
    assert "2026" in shown
    assert "hunter2" not in shown
