"""What every signer promises."""

import base64
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from uuid import UUID

import pytest
from attrs import evolve

from thornsdk.model import Delivery, OldSecret, Secret, SecretLike, as_secret
from thornsdk.stages import HeaderNames, Signer, YieldedNames
from thornsdk.testing.suites.clocks import put_forward
from thornsdk.testing.suites.headers import (
    check_can_be_sent,
    check_lower,
    check_named,
    check_names,
    check_pairs,
)
from thornsdk.testing.suites.promises import broken, check_stage, fixture_wanted, keeps, not_tested, promise
from thornsdk.testing.suites.running import side_by_side
from thornsdk.testing.values import make_delivery, make_subscription
from thornsdk.typing import Headers

_THREADS = 8
_TIMES = 25
# Far from now: who reads another clock is found.
_AT = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
_A_DAY = timedelta(days=1).total_seconds()
# Since 1970: seconds, or with three digits more milliseconds, and so on.
_EPOCH = re.compile(r"(?<!\d)(\d{10})(?:\d{3}){0,3}(?!\d)")
_ENDS = _AT + timedelta(hours=1)
_BODIES = (b"", b"{}", "☃".encode(), bytes(range(256)), b"x" * 1_000_000)


class SignerSuite:
    """What every signer promises; `signer` is given by the class of tests that inherits it.

    It is for those that prove where a delivery comes from. One that adds other headers, such as
    ``traceparent``, has nothing to sign.

    Example:
        >>> import pytest
        >>> from thornsdk import Delivery, Secret, Signer, hook_hmac
        >>> from thornsdk.testing.suites import SignerSuite
        >>> from thornsdk.typing import Headers
        >>> from thornsdk_plugins.hook_hmac import HookHmacSigner
        >>> class TestHookHmac(SignerSuite):
        ...     signs_with_old_secrets = False
        ...
        ...     @pytest.fixture
        ...     def signer(self) -> Signer:
        ...         return HookHmacSigner()
        ...
        ...     def verify(self, came: Delivery, headers: Headers, secret: Secret) -> bool:
        ...         return dict(headers)["Hook-HMAC"] == hook_hmac(secret.key, came.body)
    """

    randomised: bool = False
    """Whether the same input gives another signature each time; then `verify` is needed to see anything."""

    signs_with_secrets: bool = True
    """Whether it signs with the secrets of the subscription; False where it has keys of its own alone."""

    signs_with_old_secrets: bool = True
    """Whether old secrets sign beside the current one until they end; False where one signature has room."""

    @pytest.fixture
    def signer(self) -> Signer:
        """The signer under test."""
        fixture_wanted(self, "signer")

    def secret(self, number: int) -> SecretLike:
        """Gives a secret that it can sign with, always the same for a number and another for each number."""
        # Its key is not its text: as those that are made for subscriptions.
        return f"whsec_{base64.b64encode(sha256(b'secret %d' % number).digest()).decode()}"

    def verify(self, came: Delivery, headers: Headers, secret: Secret) -> bool:
        """Tells whether a request is authentic for a receiver who knows one secret, as receivers do it.

        Without it, the signature is not verified, but only seen to change.

        Args:
            came: What came, with the body that came.
            headers: The headers that the signer added.
            secret: What the receiver knows.
        """
        not_tested(self, "no method `verify` says how a receiver verifies")

    @promise
    def test_is_a_signer(self, signer: Signer) -> None:
        """A signer has a way to sign of its own."""
        check_stage(signer, Signer)

    @promise
    def test_gives_pairs_of_text(self, signer: Signer) -> None:
        """A signer gives headers as pairs of text, at least one."""
        headers = self._signed(signer)
        check_pairs(headers)
        keeps(bool(headers), "it gave none")

    @promise
    def test_gives_headers_that_can_be_sent(self, signer: Signer) -> None:
        """A signer's headers can be sent: names are tokens, values visible ASCII, none is the transport's.

        RFC 9110, sections 5.1 and 5.5.
        """
        check_can_be_sent(self._signed(signer))

    @promise
    def test_leaves_the_names_of_others_alone(self, signer: Signer) -> None:
        """A signer's headers are none of those that the library or HTTP sets, and each stands once."""
        check_names(self._signed(signer))

    @promise
    def test_gives_the_headers_that_it_names(self, signer: Signer) -> None:
        """A signer that names its headers beforehand names them in lower case, and gives no others."""
        if not isinstance(signer, HeaderNames):
            not_tested(self, "the signer has no `header_names`, and need not")
        check_named(signer.header_names, self._signed(signer))

    @promise
    def test_yields_the_headers_that_it_says(self, signer: Signer) -> None:
        """A signer that yields headers gives none of them to a subscription that has one of its own."""
        if not isinstance(signer, YieldedNames):
            not_tested(self, "the signer has no `yielded_names`, and need not")
        check_lower(signer.yielded_names)
        for own in sorted(signer.yielded_names):
            to = evolve(make_subscription(), headers=((own, "theirs"),))
            given = {name.lower() for name, _ in signer.sign(make_delivery(to=to), _AT)}
            kept = sorted(given & signer.yielded_names)
            keeps(not kept, f"where the subscription has {own}, it gives {', '.join(kept)}")

    @promise
    def test_signs_any_body(self, signer: Signer) -> None:
        """A signer signs any bytes: none at all, text that is not ASCII, bytes that are no text, and many."""
        for body in _BODIES:
            try:
                self._signed(signer, body)
            except Exception as exc:
                shown = repr(body[:20])
                broken(f"for {shown}, {len(body)} bytes long, it raised {type(exc).__name__}: {exc}", exc)

    @promise
    def test_covers_the_body(self, signer: Signer) -> None:
        """A signature covers the whole body: another one, by a single byte, has another signature."""
        self._wants_the_same_again()
        body = bytes(range(256)) * 40
        signed = self._signed(signer, body)
        for place in (0, len(body) // 2, len(body) - 1):
            other = body[:place] + b"\xee" + body[place + 1 :]
            changed = self._signed(signer, other) != signed
            keeps(changed, f"with another byte at {place} of {len(body)}, the headers are the same")
        keeps(
            self._signed(signer, body[:-1]) != signed, "with the last byte cut off, the headers are the same"
        )

    @promise
    def test_is_keyed_on_the_secret(self, signer: Signer) -> None:
        """A signature is keyed on the subscription's secret: with another secret it is another."""
        self._wants_the_same_again()
        if not self.signs_with_secrets:
            not_tested(self, "signs_with_secrets is False")
        one, other = (signer.sign(self._delivery(secret=number), _AT) for number in (1, 2))
        keeps(one != other, "with another secret, the headers are the same")

    @promise
    def test_signs_alike_each_time(self, signer: Signer) -> None:
        """A signature depends on delivery and moment alone, whatever was signed in between."""
        self._wants_the_same_again()
        before = self._signed(signer)
        signer.sign(self._delivery(b"another", secret=2), _AT + timedelta(days=1))
        after = self._signed(signer)
        keeps(before == after, f"it gave {_shown(before)}, and then {_shown(after)}")

    @promise
    def test_takes_the_time_that_it_is_given(self, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A signer takes the time from the attempt, not from a clock of its own."""
        now, headers = datetime.now(UTC), self._signed(signer)
        for name, value in headers:
            keeps(
                not _tells(now, value),
                f"the header {name} tells the time of now; the attempt began in {_AT.year}",
            )
        with monkeypatch.context() as later:
            put_forward(later)
            alike = self.randomised or self._signed(signer) == headers
        keeps(alike, "a day later by the system's clock, the same attempt has another signature")

    @promise
    def test_signs_with_secrets_that_have_not_ended(self, signer: Signer) -> None:
        """While secrets are rotated, an old one signs beside the current one until it ends."""
        self._wants_the_same_again()
        if not (self.signs_with_secrets and self.signs_with_old_secrets):
            not_tested(self, "signs_with_secrets or signs_with_old_secrets is False")
        rotated = signer.sign(self._rotated(), _ENDS - timedelta(seconds=1))
        alone = signer.sign(self._delivery(), _ENDS - timedelta(seconds=1))
        keeps(
            rotated != alone, "with an old secret that has not ended, the headers are those of the new alone"
        )

    @promise
    def test_signs_with_no_secret_that_has_ended(self, signer: Signer) -> None:
        """From the moment on when an old secret ends, it signs nothing."""
        self._wants_the_same_again()
        rotated, alone = signer.sign(self._rotated(), _ENDS), signer.sign(self._delivery(), _ENDS)
        keeps(
            rotated == alone,
            "with an old secret that has ended, the headers differ from those of the new alone",
        )

    @promise
    def test_gives_no_secret_away(self, signer: Signer) -> None:
        """A signer's headers hold no secret, neither as it is nor as hex or base64."""
        delivery = self._rotated()
        secrets = delivery.subscription.valid_secrets(_AT)
        forms = {form.lower() for secret in secrets for form in _forms(secret)}
        for name, value in signer.sign(delivery, _AT):
            given_away = any(form in f"{name}: {value}".lower() for form in forms)
            keeps(not given_away, f"the header {name} holds a secret of the subscription")

    @promise
    def test_serves_several_threads(self, signer: Signer) -> None:
        """A signer serves several threads at once, and gives in each what it gives alone."""
        self._wants_the_same_again()
        deliveries = [self._delivery(b"%d" % number, secret=number) for number in range(_THREADS)]
        alone = [signer.sign(one, _AT) for one in deliveries]

        def sign(number: int) -> int:
            order = [(number + step) % _THREADS for step in range(_TIMES)]
            return sum(signer.sign(deliveries[index], _AT) != alone[index] for index in order)

        wrong = sum(side_by_side(_THREADS, sign))
        keeps(wrong == 0, f"{wrong} of {_THREADS * _TIMES} signatures were others than those made alone")

    @promise
    def test_verifies(self, signer: Signer) -> None:
        """Who knows the secret can verify a request."""
        for body in _BODIES:
            known = self.verify(self._delivery(body), self._signed(signer, body), self._known(1))
            keeps(known, f"a body of {len(body)} bytes is not authentic for who knows its secret")

    @promise
    def test_shows_a_changed_body(self, signer: Signer) -> None:
        """Who verifies finds out that a body was changed."""
        headers = self._signed(signer, b'{"paid":false}')
        known = self.verify(self._delivery(b'{"paid":true}'), headers, self._known(1))
        keeps(not known, "a body that was changed on the way is taken for authentic")

    @promise
    def test_shows_another_secret(self, signer: Signer) -> None:
        """Who verifies finds out that a signature was made without their secret."""
        if not self.signs_with_secrets:
            not_tested(self, "signs_with_secrets is False")
        known = self.verify(self._delivery(), self._signed(signer), self._known(2))
        keeps(not known, "what was signed with another secret is taken for authentic")

    @promise
    def test_verifies_while_secrets_are_rotated(self, signer: Signer) -> None:
        """While secrets are rotated, who has the new one can verify; who has the old one, until it ends."""
        if not self.signs_with_secrets:
            not_tested(self, "signs_with_secrets is False")
        came, new, old = self._rotated(), self._known(1), self._known(9)
        before, after = signer.sign(came, _ENDS - timedelta(seconds=1)), signer.sign(came, _ENDS)
        keeps(self.verify(came, before, new), "who has the new secret cannot verify")
        keeps(self.verify(came, after, new), "who has the new secret cannot verify once the old has ended")
        keeps(not self.verify(came, after, old), "who has the old secret can verify when it has ended")
        if self.signs_with_old_secrets:
            keeps(self.verify(came, before, old), "who has the old secret cannot verify before it ends")

    def _known(self, number: int) -> Secret:
        return as_secret(self.secret(number))

    def _delivery(self, body: bytes = b"{}", secret: int = 1) -> Delivery:
        # Of the same subscription: a secret may be replaced at any time.
        to = make_subscription(id=UUID(int=1), secrets=self._known(secret))
        return evolve(make_delivery(body, to=to), message_id=UUID(int=99), id=UUID(int=98))

    def _rotated(self) -> Delivery:
        made = self._delivery()
        old = OldSecret(self._known(9), _ENDS)
        return evolve(made, subscription=evolve(made.subscription, old_secrets=[old]))

    def _signed(self, signer: Signer, body: bytes = b"{}") -> Headers:
        return signer.sign(self._delivery(body), _AT)

    def _wants_the_same_again(self) -> None:
        if self.randomised:
            not_tested(self, "it is randomised; what `verify` says is tested in its place")


def _tells(moment: datetime, value: str) -> bool:
    """Tells whether the moment, or one of the same day, stands in a header, in one of the usual forms."""
    seconds = (int(found) for found in _EPOCH.findall(value))
    if any(abs(one - moment.timestamp()) < _A_DAY for one in seconds):
        return True
    http_date = format_datetime(moment, usegmt=True)[5:16]
    return any(day in value for day in (f"{moment:%Y-%m-%d}", f"{moment:%Y%m%d}", http_date))


def _shown(headers: Headers) -> str:
    return ", ".join(f"{name}: {value}" for name, value in headers)


def _forms(secret: Secret) -> list[str]:
    key = secret.key
    texts = [secret.reveal(), key.hex()]
    texts += [encode(key).decode().rstrip("=") for encode in (base64.b64encode, base64.urlsafe_b64encode)]
    return [*texts, key.decode()] if key.isascii() else texts
