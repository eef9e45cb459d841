import base64
import hmac
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from mutants import EVERYTHING, Mutant
from thornsdk import Delivery, Secret, Signer
from thornsdk.testing.suites import SignerSuite
from thornsdk.typing import Headers


class Sound(Mutant):
    """Breaks nothing: its header has the time, and a signature of time and body for each valid secret."""

    header_names = frozenset({"shop-time", "shop-signature"})

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        signatures = (self.signature(key, delivery, at) for key in self.keys(delivery, at))
        return (("Shop-Time", self.time(at)), ("Shop-Signature", " ".join(signatures)))

    def time(self, at: datetime) -> str:
        return str(int(at.timestamp()))

    def keys(self, delivery: Delivery, at: datetime) -> Iterable[bytes]:
        return [secret.key for secret in delivery.subscription.valid_secrets(at)]

    def signature(self, key: bytes, delivery: Delivery, at: datetime) -> str:
        return hmac.digest(key, self.signed(delivery.body, self.time(at)), "sha256").hex()

    def signed(self, body: bytes, at: str) -> bytes:
        return f"{at}.".encode() + body

    def verify(self, came: Delivery, headers: Headers, key: bytes) -> bool:
        """What its receivers do."""
        told = dict(headers)
        wanted = hmac.digest(key, self.signed(came.body, told["Shop-Time"]), "sha256").hex()
        return wanted in told["Shop-Signature"].split()


class Forgetful(Mutant, Signer):
    """Inherits its method from the protocol, where it does nothing."""

    breaks = "test_is_a_signer"
    also = EVERYTHING


class Lists(Sound):
    breaks = "test_gives_pairs_of_text"

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        return tuple([name, value] for name, value in super().sign(delivery, at))  # type: ignore[misc]  # on purpose


class Nothing(Sound):
    breaks = "test_gives_pairs_of_text"
    also = EVERYTHING

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        return ()


class Adds(Sound):
    """Adds a header to those that are sound."""

    header_names = Sound.header_names | {"shop-note"}
    name = "Shop-Note"

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        return (*super().sign(delivery, at), (self.name, self.note(delivery, at)))

    def note(self, delivery: Delivery, at: datetime) -> str:
        return "signed"


class AddsTwoLines(Adds):
    breaks = "test_gives_headers_that_can_be_sent"

    def note(self, delivery: Delivery, at: datetime) -> str:
        return "signed\r\nShop-Signature: none"


class AddsWhatIsNotAscii(Adds):
    breaks = "test_gives_headers_that_can_be_sent"

    def note(self, delivery: Delivery, at: datetime) -> str:
        return "signé"


class AddsALength(Adds):
    breaks = "test_gives_headers_that_can_be_sent"
    also = frozenset({"test_leaves_the_names_of_others_alone"})
    header_names = Sound.header_names | {"content-length"}
    name = "Content-Length"

    def note(self, delivery: Delivery, at: datetime) -> str:
        return str(len(delivery.body))


class AddsATypeOfItsOwn(Adds):
    breaks = "test_leaves_the_names_of_others_alone"
    header_names = Sound.header_names | {"content-type"}
    name = "Content-Type"


class AddsOneTwice(Adds):
    breaks = "test_leaves_the_names_of_others_alone"
    name = "SHOP-TIME"


class NamesTooFew(Adds):
    breaks = "test_gives_the_headers_that_it_names"
    header_names = Sound.header_names


class NamesInCapitals(Sound):
    breaks = "test_gives_the_headers_that_it_names"
    header_names = frozenset({"Shop-Time", "Shop-Signature"})


class Yields(Sound):
    """Breaks nothing."""

    yielded_names = Sound.header_names

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        given = {name.lower() for name, _ in delivery.subscription.headers}
        return () if given & self.yielded_names else super().sign(delivery, at)


class YieldsNothing(Sound):
    breaks = "test_yields_the_headers_that_it_says"
    yielded_names = frozenset({"shop-time"})


class WantsText(Sound):
    breaks = "test_signs_any_body"
    also = frozenset({"test_covers_the_body", "test_verifies"})

    def signed(self, body: bytes, at: str) -> bytes:
        return f"{at}.{body.decode()}".encode()


class WantsABody(Sound):
    breaks = "test_signs_any_body"
    also = frozenset({"test_verifies"})

    def signed(self, body: bytes, at: str) -> bytes:
        if not body:
            raise ValueError("there is nothing to sign")
        return super().signed(body, at)


class SignsTheBeginning(Sound):
    breaks = "test_covers_the_body"

    def signed(self, body: bytes, at: str) -> bytes:
        return super().signed(body[:1000], at)


class SignsTheTimeAlone(Sound):
    breaks = "test_covers_the_body"
    also = frozenset({"test_shows_a_changed_body"})

    def signed(self, body: bytes, at: str) -> bytes:
        return at.encode()


class ItsOwnKey(Sound):
    breaks = "test_is_keyed_on_the_secret"
    also = frozenset(
        {
            "test_signs_with_secrets_that_have_not_ended",
            "test_verifies",
            "test_verifies_while_secrets_are_rotated",
        }
    )

    def keys(self, delivery: Delivery, at: datetime) -> Iterable[bytes]:
        return [b"the same for all"]


class RemembersTheKey(Sound):
    """Keeps the secret of each subscription, though it may be replaced."""

    breaks = "test_is_keyed_on_the_secret"
    also = EVERYTHING

    def __init__(self) -> None:
        self.known: dict[object, Iterable[bytes]] = {}

    def keys(self, delivery: Delivery, at: datetime) -> Iterable[bytes]:
        return self.known.setdefault(delivery.subscription.id, super().keys(delivery, at))


class Counts(Adds):
    breaks = "test_signs_alike_each_time"
    also = frozenset(
        {
            "test_signs_with_no_secret_that_has_ended",
            "test_serves_several_threads",
            "test_takes_the_time_that_it_is_given",
        }
    )
    times = 0

    def note(self, delivery: Delivery, at: datetime) -> str:
        self.times += 1
        return str(self.times)


class ItsOwnClock(Sound):
    breaks = "test_takes_the_time_that_it_is_given"

    def time(self, at: datetime) -> str:
        return str(int(datetime.now(UTC).timestamp()) // 1000 * 1000)


class ItsOwnCalendar(Adds):
    breaks = "test_takes_the_time_that_it_is_given"

    def note(self, delivery: Delivery, at: datetime) -> str:
        return f"signed on {datetime.now(UTC):%Y-%m-%d}"


class ItsOwnMilliseconds(Adds):
    breaks = "test_takes_the_time_that_it_is_given"

    def note(self, delivery: Delivery, at: datetime) -> str:
        return str(int(datetime.now(UTC).timestamp()) // 1000 * 1_000_000)


class ItsOwnHttpDate(Adds):
    breaks = "test_takes_the_time_that_it_is_given"

    def note(self, delivery: Delivery, at: datetime) -> str:
        return format_datetime(datetime.now(UTC).replace(minute=0, second=0), usegmt=True)


class ItsOwnBasicDate(Adds):
    breaks = "test_takes_the_time_that_it_is_given"

    def note(self, delivery: Delivery, at: datetime) -> str:
        return f"{datetime.now(UTC):%Y%m%dT00}0000Z"


class ItsOwnHiddenClock(Adds):
    """Tells the time where it cannot be read, as a JWT does."""

    breaks = "test_takes_the_time_that_it_is_given"

    def note(self, delivery: Delivery, at: datetime) -> str:
        return base64.b64encode(f"{time.time() // 1000}".encode()).decode()


class CurrentSecretAlone(Sound):
    breaks = "test_signs_with_secrets_that_have_not_ended"
    also = frozenset({"test_verifies_while_secrets_are_rotated"})

    def keys(self, delivery: Delivery, at: datetime) -> Iterable[bytes]:
        return [delivery.subscription.secrets[0].key]


class OldSecretsForEver(Sound):
    breaks = "test_signs_with_no_secret_that_has_ended"
    also = frozenset({"test_verifies_while_secrets_are_rotated"})

    def keys(self, delivery: Delivery, at: datetime) -> Iterable[bytes]:
        old = [one.secret.key for one in delivery.subscription.old_secrets]
        return [delivery.subscription.secrets[0].key, *old]


class GivesTheSecret(Adds):
    breaks = "test_gives_no_secret_away"

    def note(self, delivery: Delivery, at: datetime) -> str:
        return delivery.subscription.secrets[0].reveal()


class GivesTheKeyInHex(Adds):
    breaks = "test_gives_no_secret_away"

    def note(self, delivery: Delivery, at: datetime) -> str:
        return f"key={delivery.subscription.secrets[0].key.hex().upper()}"


class GivesAnOldKeyInBase64(Adds):
    breaks = "test_gives_no_secret_away"
    also = frozenset({"test_signs_with_no_secret_that_has_ended"})

    def note(self, delivery: Delivery, at: datetime) -> str:
        old = delivery.subscription.old_secrets
        return base64.b64encode(old[0].secret.key if old else b"none").decode()


class NotForThreads(Sound):
    breaks = "test_serves_several_threads"
    delivery: Delivery | None = None

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        self.delivery = delivery
        time.sleep(0.0001)
        return super().sign(self.delivery, at)


class SignsAnotherBody(Sound):
    """Signs the body as it would be with a line break."""

    breaks = "test_verifies"
    also = frozenset({"test_verifies_while_secrets_are_rotated"})

    def signature(self, key: bytes, delivery: Delivery, at: datetime) -> str:
        return hmac.digest(key, self.signed(delivery.body + b"\n", self.time(at)), "sha256").hex()


class KeyedOnTheText(Sound):
    """Takes the text of a secret for its key."""

    breaks = "test_verifies"
    also = frozenset({"test_verifies_while_secrets_are_rotated"})

    def keys(self, delivery: Delivery, at: datetime) -> Iterable[bytes]:
        return [secret.reveal().encode() for secret in delivery.subscription.valid_secrets(at)]


class ReceiversLookAtTheTimeAlone(Sound):
    breaks = "test_shows_a_changed_body"
    also = frozenset({"test_shows_another_secret", "test_verifies_while_secrets_are_rotated"})

    def verify(self, came: Delivery, headers: Headers, key: bytes) -> bool:
        return dict(headers)["Shop-Time"].isdecimal()


class SignsForEverybody(Sound):
    """Adds a signature that everybody can make."""

    breaks = "test_shows_another_secret"
    also = frozenset({"test_verifies_while_secrets_are_rotated"})

    def keys(self, delivery: Delivery, at: datetime) -> Iterable[bytes]:
        return [*super().keys(delivery, at), b"the same for all"]

    def verify(self, came: Delivery, headers: Headers, key: bytes) -> bool:
        return any(
            super(SignsForEverybody, self).verify(came, headers, one) for one in (key, b"the same for all")
        )


class OldSecretsAlone(Sound):
    """Signs with the old secret as long as there is one."""

    breaks = "test_verifies_while_secrets_are_rotated"

    def keys(self, delivery: Delivery, at: datetime) -> Iterable[bytes]:
        return list(super().keys(delivery, at))[-1:]


MUTANTS = [
    Sound,
    Forgetful,
    Lists,
    Nothing,
    AddsTwoLines,
    AddsWhatIsNotAscii,
    AddsALength,
    AddsATypeOfItsOwn,
    AddsOneTwice,
    NamesTooFew,
    NamesInCapitals,
    Yields,
    YieldsNothing,
    WantsText,
    WantsABody,
    SignsTheBeginning,
    SignsTheTimeAlone,
    ItsOwnKey,
    RemembersTheKey,
    Counts,
    ItsOwnClock,
    ItsOwnCalendar,
    ItsOwnMilliseconds,
    ItsOwnHttpDate,
    ItsOwnBasicDate,
    ItsOwnHiddenClock,
    CurrentSecretAlone,
    OldSecretsForEver,
    GivesTheSecret,
    GivesTheKeyInHex,
    GivesAnOldKeyInBase64,
    NotForThreads,
    SignsAnotherBody,
    KeyedOnTheText,
    ReceiversLookAtTheTimeAlone,
    SignsForEverybody,
    OldSecretsAlone,
]


class TestMutants(SignerSuite):
    @pytest.fixture(params=MUTANTS)
    def signer(self, request: pytest.FixtureRequest) -> Signer:
        self.made = request.param()
        made: Signer = self.made
        return made

    def verify(self, came: Delivery, headers: Headers, secret: Secret) -> bool:
        known: bool = self.made.verify(came, headers, secret.key)
        return known
