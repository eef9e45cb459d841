"""The settings: one table of names, meanings, defaults and what each takes."""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TypedDict, TypeVar, cast

import attrs
from attrs import field, frozen

from thornsdk.dispatching import RecipientValidator, Terms
from thornsdk.errors import SettingError, ThornError
from thornsdk.model import JSON, Secret
from thornsdk.policy.addresses import WEB_PORTS, AddressRules
from thornsdk.policy.breaker import BreakerPolicy
from thornsdk.policy.retry import RetryPolicy
from thornsdk.setting_kinds import (
    Raw,
    optional,
    or_none,
    read_chunksize,
    read_codecs,
    read_concurrency,
    read_count,
    read_delay,
    read_files,
    read_idle_connections,
    read_lanes,
    read_mapping,
    read_name,
    read_names,
    read_networks,
    read_options,
    read_pause,
    read_ports,
    read_proxy,
    read_schedule,
    read_schemes,
    read_secret,
    read_some_names,
    read_switch,
    read_timeout,
    read_validators,
    read_wait,
)
from thornsdk.typing import IPNetwork

PREFIX = "THORN_"
FORM = "application/x-www-form-urlencoded"

_RIVALS = {
    "retry_schedule": ("retry_max", "retry_delay"),
    "retry_max": ("retry_schedule",),
    "retry_delay": ("retry_schedule",),
}

T = TypeVar("T")


class SettingsOptions(TypedDict, total=False):
    """The settings as keyword arguments: their names in lower case, without ``THORN_``."""

    dispatcher: str
    store: str
    durable: bool | None
    transport: str | Iterable[str]
    signers: str | Iterable[str]
    observers: str | Iterable[str]
    codecs: Mapping[str, str]
    subscribers: Mapping[str, object]
    secret: str | Secret | None
    event_timeout: float
    retry: bool
    retry_max: int | None
    retry_delay: float | None
    retry_schedule: Iterable[float] | None
    disable_after: float | None
    breaker_failures: int
    breaker_pause: float
    recipient_validators: Iterable[str | RecipientValidator]
    allow_networks: Iterable[str | IPNetwork]
    block_networks: Iterable[str | IPNetwork]
    allow_schemes: Iterable[str] | None
    allow_ports: Iterable[int]
    concurrency: int
    concurrency_per_origin: int
    idle_connections: int
    idle_timeout: float
    ca_bundle: str | None
    client_certificates: Mapping[str, str]
    filtering_proxy: str | None
    chunksize: int
    broker_url: str | None
    broker_fallback: bool
    lanes: int
    options: Mapping[str, Mapping[str, object]]
    plugins_block: Iterable[str]


def _setting(default: T, parse: Callable[[Raw], T], takes: str, doc: str, *, hidden: bool = False) -> T:
    metadata = {"parse": parse, "takes": takes, "doc": doc, "hidden": hidden}
    return field(default=default, metadata=metadata, kw_only=True, repr=not hidden)


@frozen
class Settings:
    """What an application can set.

    Made with `from_mapping` or `from_environ`; each field is described in the settings reference.

    Example:
        >>> Settings.from_mapping({"THORN_CONCURRENCY": "8"}).concurrency
        8
    """

    dispatcher: str = _setting(
        "default",
        read_name,
        "the name of a dispatcher",
        "Where and when deliveries run: `default`, `celery` or `disabled`.",
    )
    store: str = _setting(
        "memory",
        read_name,
        "the name of a store, or its URL",
        "Where subscriptions and deliveries are kept: `memory`, or `sqlite:///thorn.db` (relative path), "
        "`sqlite:////var/lib/app/thorn.db` (absolute path).",
    )
    durable: bool | None = _setting(
        None,
        optional(read_switch),
        "true or false",
        "With `default`: whether all deliveries of a message are written to the store, in one transaction, "
        "before the first byte is sent, so that none is forgotten if the process dies. By default it is so "
        "where the store outlives the process, as `sqlite` does.",
    )
    transport: tuple[str, ...] = _setting(
        ("urllib3",),
        read_some_names,
        "the name of a transport, or several",
        "What sends the requests, by URL scheme.",
    )
    signers: tuple[str, ...] = _setting(
        ("hook-hmac", "standard-webhooks"), read_names, "names of signers", "What signs the requests."
    )
    observers: tuple[str, ...] = _setting(
        (), read_names, "names of observers", "What is told of every attempt, besides the log."
    )
    codecs: Mapping[str, str] = _setting(
        {JSON: "json", FORM: "form"},
        read_codecs,
        "a mapping (or JSON object) of content types to names of serializers",
        "How payloads are written, by content type. The first is tried before anything is sent.",
    )
    subscribers: Mapping[str, object] = _setting(
        {},
        read_mapping,
        "a mapping (or JSON object) of event patterns to subscribers",
        "Static subscribers: a URL, a mapping (`url`, and what `Thorn.subscribe` takes besides), a callable "
        "or its `module:name`, or a list of these.",
        hidden=True,
    )
    secret: Secret | None = _setting(  # noqa: RUF009 - it makes a field
        None,
        optional(read_secret),
        "a secret that is not empty",
        "What the secrets of static subscribers that have none of their own are derived from.",
        hidden=True,
    )
    event_timeout: float = _setting(
        10.0,
        read_timeout,
        "seconds, more than 0 and at most 3600",
        "The deadline of an attempt: name look-up, connect, TLS, sending and reading together.",
    )
    retry: bool = _setting(
        True,  # noqa: FBT003 - the first argument is the default, whatever its type
        read_switch,
        "true or false",
        "Whether a delivery that did not arrive is attempted again.",
    )
    retry_max: int | None = _setting(
        None,
        optional(read_count),
        "a whole number from 0 to 1000",
        "How often it is attempted again, with a fixed delay in place of the schedule; 10 where only "
        "`THORN_RETRY_DELAY` is set.",
    )
    retry_delay: float | None = _setting(
        None,
        optional(read_delay),
        "seconds, from 0 to 31536000 (a year)",
        "The fixed delay before each further attempt; 60 where only `THORN_RETRY_MAX` is set.",
    )
    retry_schedule: tuple[float, ...] | None = _setting(
        None,
        optional(read_schedule),
        "a list of seconds, each from 0 to 31536000 (a year)",
        "The waits after the first attempt, the second, and so on. By default 5 s, 5 min, 30 min, 2 h, 5 h, "
        "10 h, 14 h, 20 h and 24 h, as the Standard Webhooks specification proposes.",
    )
    disable_after: float | None = _setting(
        cast("float | None", 5 * 24 * 3600.0),
        or_none(read_wait),
        "seconds, more than 0 and at most 31536000 (a year), or none",
        "For how long every attempt to a subscription may fail. At the next one that fails, it is disabled; "
        "with none, it never is. At half the time, the log and the observers are told.",
    )
    breaker_failures: int = _setting(
        10,
        read_count,
        "a whole number from 0 to 1000",
        "After how many attempts in a row an origin is paused that fail with a timeout, without a "
        "connection, or with a 5xx. With 0, none ever is.",
    )
    breaker_pause: float = _setting(
        60.0,
        read_pause,
        "seconds, more than 0 and at most 3600",
        "For how long it is paused at first. Then one delivery is let through; if that fails, the next pause "
        "is twice as long, up to an hour.",
    )
    recipient_validators: tuple[RecipientValidator, ...] = _setting(
        (),
        read_validators,
        "callables, or their `module:name`",
        "Called with a URL when it is subscribed and before each attempt; they refuse it by raising.",
    )
    allow_networks: tuple[IPNetwork, ...] = _setting(
        (),
        read_networks,
        "a list of address ranges, such as 10.0.0.0/8",
        "Address ranges that requests may go to although they are private or special. The address of a "
        "cloud's metadata service is opened only by a range that holds it alone.",
    )
    block_networks: tuple[IPNetwork, ...] = _setting(
        (),
        read_networks,
        "a list of address ranges, such as 10.0.0.0/8",
        "Address ranges that requests may not go to. Block wins over allow.",
    )
    allow_schemes: frozenset[str] | None = _setting(
        None,
        optional(read_schemes),
        "a list of URL schemes, such as https",
        "The URL schemes that subscriptions may have. By default every scheme that a transport serves.",
    )
    allow_ports: frozenset[int] = _setting(
        WEB_PORTS,
        read_ports,
        "a list of ports from 1 to 65535",
        "The ports that `http` and `https` URLs may have.",
    )
    concurrency: int = _setting(
        128,
        read_concurrency,
        "a whole number from 1 to 1000",
        "How many requests the transport keeps in flight for one message.",
    )
    concurrency_per_origin: int = _setting(
        64,
        read_concurrency,
        "a whole number from 1 to 1000",
        "How many of these may go to one origin, so that one that hangs does not take all the places.",
    )
    idle_connections: int = _setting(
        256,
        read_idle_connections,
        "a whole number from 0 to 10000",
        "How many connections the transport keeps open for later requests, over all origins.",
    )
    idle_timeout: float = _setting(
        50.0,
        read_delay,
        "seconds, from 0 to 31536000 (a year)",
        "How long a connection may have been idle and still be used again. Choose it shorter than the time "
        "after which receivers and what stands between drop idle connections; a minute is common.",
    )
    ca_bundle: str | None = _setting(
        None,
        optional(read_name),
        "the path of a PEM file",
        "Certificates of the authorities to trust, in place of the system's. Verification cannot be turned "
        "off.",
    )
    client_certificates: Mapping[str, str] = _setting(
        {},
        read_files,
        "names and paths of PEM files",
        "Certificates that subscriptions may name, to be shown to receivers that ask for one (mutual TLS). "
        "A file holds the certificate, those that lead to its authority, and the key, without a passphrase.",
    )
    filtering_proxy: str | None = _setting(
        None,
        optional(read_proxy),
        "the URL of a proxy, such as http://proxy.internal:4750",
        "A proxy that all HTTP and HTTPS requests go through. It must itself refuse addresses that webhooks "
        "may not reach: behind a proxy, nobody else sees them. Proxies of the environment are never used.",
        hidden=True,
    )
    chunksize: int = _setting(
        100,
        read_chunksize,
        "a whole number from 1 to 10000",
        "With `celery`: how many deliveries a batch holds, and how many buffered messages a task.",
    )
    broker_url: str | None = _setting(
        None,
        optional(read_name),
        "the URL of a broker, such as redis://localhost/0",
        "With `celery`: the broker, where the application has no Celery app of its own.",
        hidden=True,
    )
    broker_fallback: bool = _setting(
        False,  # noqa: FBT003 - the first argument is the default, whatever its type
        read_switch,
        "true or false",
        "With `celery`: whether a message that the broker cannot take goes to the store, to be delivered "
        "later, in place of an error.",
    )
    lanes: int = _setting(
        1,
        read_lanes,
        "a whole number from 1 to 1000",
        "With `celery`: into how many queues batches are sorted by origin, so that one origin tends to one "
        "worker. With 1, all go to the queue `thornsdk`; with more, to `thornsdk.1` and so on.",
    )
    options: Mapping[str, Mapping[str, object]] = _setting(
        {},
        read_options,
        "a mapping (or JSON object) of names of stages to the options of each",
        "What stages take besides these settings; each tells what that is. Stages of one name have the same "
        "options.",
        hidden=True,
    )
    plugins_block: frozenset[str] = _setting(
        frozenset(),
        lambda raw: frozenset(read_names(raw)),
        "names of plugins",
        "Plugins that are not loaded; `distribution:name` means one of several that have the same name.",
    )
    given: frozenset[str] = field(default=frozenset(), kw_only=True, repr=False, eq=False)
    """The names of those that were given; the others have their defaults."""

    def __attrs_post_init__(self) -> None:
        # Settings that were made directly, or changed with attrs.evolve, count as given where they differ.
        differing = {one.name for one in setting_fields() if getattr(self, one.name) != one.default}
        object.__setattr__(self, "given", self.given | differing)
        if self.retry_schedule is not None and (self.retry_max is not None or self.retry_delay is not None):
            raise SettingError(
                "THORN_RETRY_SCHEDULE",
                "set together with THORN_RETRY_MAX or THORN_RETRY_DELAY",
                "effect alone: give the schedule, or the fixed number and delay",
            )

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object]) -> "Settings":
        """Reads settings.

        Args:
            mapping: ``THORN_*`` names to values: Python values, or text as the environment holds it.

        Raises:
            SettingError: If a name is unknown or a value of the wrong kind.
        """
        known = {setting_name(one): one for one in setting_fields()}
        values: dict[str, object] = {}
        for name, raw in mapping.items():
            if name not in known:
                raise SettingError(name, "not a setting", f"one of {', '.join(known)}")
            values[known[name].name] = _read(known[name], raw)
        return cls(**values, given=frozenset(values))  # type: ignore[arg-type]  # each was read by its own field

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Reads the ``THORN_*`` variables of the environment.

        Raises:
            SettingError: If a name is unknown or a value of the wrong kind.
        """
        variables = os.environ if environ is None else environ
        return cls.from_mapping({key: value for key, value in variables.items() if key.startswith(PREFIX)})

    @classmethod
    def from_options(cls, options: SettingsOptions) -> "Settings":
        """Reads settings by their keyword names.

        Raises:
            SettingError: If a name is unknown or a value of the wrong kind.
        """
        return cls.from_mapping({PREFIX + key.upper(): value for key, value in options.items()})

    def over(self, other: "Settings") -> "Settings":
        """Lays these settings over others: what was given here wins, what was given there comes next."""
        # A schedule here puts out a fixed delay there, and the other way round.
        put_out = {rival for name in self.given for rival in _RIVALS.get(name, ())}
        kept = self.given | (other.given - put_out)
        values = {name: getattr(self if name in self.given else other, name) for name in kept}
        return attrs.evolve(Settings(), **values, given=kept)

    @property
    def retry_policy(self) -> RetryPolicy:
        """The retry policy that the ``THORN_RETRY*`` settings make."""
        if not self.retry:
            return RetryPolicy.never()
        if self.retry_schedule is not None:
            return RetryPolicy(self.retry_schedule)
        if self.retry_max is None and self.retry_delay is None:
            return RetryPolicy()
        times = 10 if self.retry_max is None else self.retry_max
        return RetryPolicy.fixed(times=times, delay=60.0 if self.retry_delay is None else self.retry_delay)

    @property
    def breaker_policy(self) -> BreakerPolicy:
        """The policy that the ``THORN_BREAKER_*`` settings make."""
        return BreakerPolicy(self.breaker_failures, self.breaker_pause)

    @property
    def disabling_time(self) -> timedelta | None:
        """How long every attempt to a subscription may fail; None for ever."""
        return None if self.disable_after is None else timedelta(seconds=self.disable_after)

    @property
    def address_rules(self) -> AddressRules:
        """The rules that the ``THORN_ALLOW_*`` and ``THORN_BLOCK_*`` settings make."""
        return AddressRules(self.allow_networks, self.block_networks, self.allow_ports, self.allow_schemes)

    @property
    def terms(self) -> Terms:
        """The terms of events that have none of their own."""
        return Terms(
            timeout=self.event_timeout,
            retry=self.retry_policy,
            recipient_validators=self.recipient_validators,
        )


def setting_fields() -> "tuple[attrs.Attribute[object], ...]":
    """Gives the field of each setting, in the order of the reference."""
    return tuple(one for one in attrs.fields(Settings) if "takes" in one.metadata)


def setting_name(one: "attrs.Attribute[object]") -> str:
    """Gives the name of a setting as the environment has it."""
    return PREFIX + one.name.upper()


def _read(one: "attrs.Attribute[object]", raw: object) -> object:
    parse: Callable[[object], object] = one.metadata["parse"]
    try:
        return parse(raw)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, ThornError) as exc:
        value = "(hidden)" if one.metadata["hidden"] else repr(raw)
        takes = str(one.metadata["takes"])
        # The cause says more only where we wrote it ourselves: others may quote a secret.
        told = (
            isinstance(exc, ThornError) or str(exc).endswith("is not callable") or exc.__cause__ is not None
        )
        raise SettingError(setting_name(one), value, f"{takes} ({exc})" if told else takes) from None
