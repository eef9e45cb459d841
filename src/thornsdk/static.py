"""Static subscriptions: made by configuration, with the same ids and secrets in every process."""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias, cast
from uuid import UUID, uuid5

from attrs import frozen

from thornsdk.errors import ConfigurationError, InvalidPattern, InvalidValue, crash
from thornsdk.model import URL, EventPattern, Secret, Subscription
from thornsdk.setting_kinds import full_name, load_callable

Subscriber: TypeAlias = object
"""A URL, a mapping, a `Subscription`, a callable or its ``module:name``, or a list of these."""

_NAMESPACE = UUID("9c5a4b50-6a0b-5f0e-9d9f-5d3b7f2a6c11")
_KEYS = frozenset(
    {
        "url",
        "id",
        "secret",
        "secrets",
        "owner",
        "headers",
        "content_type",
        "digest",
        "client_certificate",
        "rate_limit",
        "retry_schedule",
        "max_in_flight",
        "ordered_by",
        "when_failed",
    }
)


@frozen
class _Source:
    """What one entry of the configuration stands for."""

    pattern: EventPattern
    make: Callable[[str, str | None], tuple[Subscription, ...]]


class StaticSubscribers:
    """The subscriptions that settings and events name.

    Args:
        subscribers: Event patterns to subscribers.
        secret: What the secrets of subscribers without one are derived from.
        where: What to name in errors, such as ``THORN_SUBSCRIBERS``.

    Raises:
        ConfigurationError: If an entry cannot be a subscription.
    """

    def __init__(self, subscribers: Mapping[str, Subscriber], secret: Secret | None, where: str) -> None:
        self._secret = secret
        self.where: str = where
        """What to name in errors."""
        self._sources: list[_Source] = []
        self._made: dict[UUID, Subscription] = {}
        for pattern, subscriber in subscribers.items():
            self.add(pattern, subscriber)

    def add(self, pattern: str, subscriber: Subscriber) -> None:
        """Adds a subscriber.

        Raises:
            ConfigurationError: If it cannot be a subscription.
        """
        try:
            with_pattern = EventPattern(pattern)
        except InvalidPattern as exc:
            raise ConfigurationError(f"{self.where}: {exc}") from None
        for one in _flat(subscriber):
            self._sources.append(_Source(with_pattern, self._maker(with_pattern, one)))

    def wanting(self, event: str, sender: str | None) -> Iterator[Subscription]:
        """Gives the subscriptions whose patterns match an event, whoever owns them.

        Callables are asked anew each time.

        Raises:
            ConfigurationError: If a callable raises, or what it gives cannot be a subscription.
        """
        for source in self._sources:
            if source.pattern.matches(event):
                yield from source.make(event, sender)

    def fixed(self) -> Iterator[Subscription]:
        """Gives the subscriptions that are known without asking a callable."""
        for source in self._sources:
            if not isinstance(source.make, _Asked):
                yield from source.make("", None)

    def requirements(self, event: str) -> Iterator[str]:
        """Names what is configured for an event: each subscriber by its id, each callable by its name."""
        for source in self._sources:
            if not source.pattern.matches(event):
                continue
            if isinstance(source.make, _Asked):
                yield f"the callable {full_name(source.make.ask)}"
            else:
                yield from (f"the static subscriber {one.id}" for one in source.make(event, None))

    def _maker(
        self, pattern: EventPattern, subscriber: Subscriber
    ) -> Callable[[str, str | None], tuple[Subscription, ...]]:
        if callable(subscriber) or (isinstance(subscriber, str) and "://" not in subscriber):
            return _Asked(self.where, self._callable(subscriber), lambda given: self._make(pattern, given))
        made = self._make(pattern, subscriber)
        if self._made.setdefault(made.id, made) != made:
            raise ConfigurationError(
                f"{self.where}: two different subscribers of {pattern} have the same URL and owner; give "
                f"one of them an id of its own"
            )
        return lambda _event, _sender: (made,)

    def _callable(self, subscriber: Subscriber) -> Callable[..., object]:
        try:
            return load_callable(subscriber)
        except ValueError as exc:
            raise ConfigurationError(f"{self.where}: {exc}") from exc

    def _make(self, pattern: EventPattern, subscriber: Subscriber) -> Subscription:
        if isinstance(subscriber, Subscription):
            return subscriber
        if isinstance(subscriber, (str, URL)):
            return self._from_options(pattern, {"url": subscriber})
        if isinstance(subscriber, Mapping):
            return self._from_options(pattern, cast("Mapping[str, object]", subscriber))
        kind = type(subscriber).__qualname__
        raise ConfigurationError(
            f"{self.where}: a {kind} cannot be a subscriber of {pattern}; give a URL, a mapping, a "
            f"callable, or a list of these"
        )

    def _from_options(self, pattern: EventPattern, given: Mapping[str, object]) -> Subscription:
        options = dict(given)
        unknown = sorted(str(key) for key in set(options) - _KEYS)
        if unknown or "url" not in options:
            problem = f"{unknown[0]!r} is not known" if unknown else "'url' is missing"
            raise ConfigurationError(
                f"{self.where}: in a subscriber of {pattern}, {problem}; it takes {', '.join(sorted(_KEYS))}"
            )
        try:
            return self._subscription(pattern, options)
        except (InvalidValue, ValueError, TypeError, AttributeError) as exc:
            problem = str(exc) if isinstance(exc, InvalidValue) else "a value is of the wrong kind"
            raise ConfigurationError(f"{self.where}: in a subscriber of {pattern}, {problem}") from None

    def _subscription(self, pattern: EventPattern, options: dict[str, object]) -> Subscription:
        url = URL.parse(cast("str", options.pop("url")))
        # The id is that of the same entry in every process: what makes it another subscriber is in it.
        name = "\n".join((str(pattern), str(url), str(options.get("owner") or "")))
        given = options.pop("id", None)
        subscription_id = uuid5(_NAMESPACE, name) if given is None else UUID(str(given))
        secrets = options.pop("secrets", options.pop("secret", None))
        if secrets is None:
            secrets = self._derived(subscription_id, pattern)
        return Subscription(id=subscription_id, patterns=pattern, url=url, secrets=secrets, **options)  # type: ignore[arg-type]  # Subscription checks each of them

    def _derived(self, subscription_id: UUID, pattern: EventPattern) -> Secret:
        if self._secret is None:
            raise InvalidValue(
                f"a secret is missing: give the subscriber of {pattern} one, or set THORN_SECRET, from which "
                f"the secrets of static subscribers are derived"
            )
        name = b"thornsdk static subscriber " + subscription_id.bytes
        return Secret.from_key(hmac.digest(self._secret.key, name, hashlib.sha256))


@frozen
class _Asked:
    """Subscriptions from a callable: asked with the event's name and the sender, each time."""

    where: str
    ask: Callable[..., object]
    make: Callable[[Subscriber], Subscription]

    def __call__(self, event: str, sender: str | None) -> tuple[Subscription, ...]:
        try:
            given = _flat(self.ask(event, sender))
        except Exception as exc:
            name = full_name(self.ask)
            raise ConfigurationError(f"{self.where}: the subscriber {name} {crash(exc)}") from exc
        return tuple(self.make(one) for one in given)


def _flat(subscriber: Subscriber) -> Iterable[Subscriber]:
    if subscriber is None:
        return ()
    if isinstance(subscriber, (list, tuple, set, frozenset)):
        return [inner for one in cast("Iterable[Subscriber]", subscriber) for inner in _flat(one)]
    return (subscriber,)
