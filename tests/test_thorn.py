import asyncio
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Never
from uuid import UUID

import pytest

from conftest import OpenThorn
from support.stages import SayingSerializer, make_dispatch, make_pipeline, make_subscription, says_status
from thornsdk import (
    URL,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Digest,
    OutcomeKind,
    Pipeline,
    Reason,
    ReceiptState,
    Request,
    Response,
    RetryPolicy,
    Secret,
    Serializer,
    Settings,
    Thorn,
)
from thornsdk.errors import (
    ClosedError,
    ConfigurationError,
    DispatchError,
    InvalidEventName,
    InvalidHeader,
    InvalidPattern,
    InvalidSecret,
    InvalidURL,
    InvalidValue,
    NotFound,
    PipelineError,
    RecipientRefused,
    SerializationError,
    SettingError,
    ThornError,
)
from thornsdk.testing import (
    Endpoint,
    FakeClock,
    Handler,
    RecordingDispatcher,
    RecordingTransport,
    Seen,
    answers,
    hangs,
    in_turn,
)
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.default import DefaultDispatcher
from thornsdk_plugins.disabled import DisabledDispatcher
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore

HTTPS = "https://example.com/hooks"


@pytest.fixture
def transport() -> RecordingTransport:
    return RecordingTransport()


@pytest.fixture
def thorn(transport: RecordingTransport, clock: FakeClock) -> Iterator[Thorn]:
    """A Thorn that sends nothing over the network."""
    with Thorn(pipeline=make_pipeline([transport]), clock=clock, random=lambda: 0.0) as one:
        yield one


# Events


def test_a_message_says_what_became_of_it(thorn: Thorn) -> None:
    thorn.subscribe("order.*", HTTPS)
    receipt = thorn.event("order.created", payload_type=dict[str, int]).send({"id": 42})
    assert (receipt.event, receipt.dispatcher, receipt.state) == (
        "order.created",
        "default",
        ReceiptState.ENDED,
    )
    assert (receipt.outcomes.delivered, receipt.outcomes.total, receipt.outcomes.problems) == (1, 1, ())
    (kept,) = thorn.deliveries()
    assert kept.message_id == receipt.message_id


def test_a_message_that_nobody_wants_ends_with_nothing(thorn: Thorn) -> None:
    thorn.subscribe("invoice.*", HTTPS)
    assert thorn.event("order.created").send({}).outcomes.total == 0


def test_the_receipt_names_what_did_not_arrive() -> None:
    with Thorn(pipeline=make_pipeline([RecordingTransport(says_status(500))])) as thorn:
        subscription = thorn.subscribe("order.*", HTTPS)
        receipt = thorn.event("order.created").send({})
    (problem,) = receipt.outcomes.problems
    assert (receipt.outcomes.retry, problem.subscription_id) == (1, subscription.id)


def test_the_receipt_counts_every_problem_and_keeps_the_first_hundred() -> None:
    pipeline = make_pipeline([RecordingTransport(says_status(500))])
    with Thorn(pipeline=pipeline, subscribers={"*": [make_subscription(n) for n in range(150)]}) as thorn:
        outcomes = thorn.event("order.created").send({}).outcomes
    assert (outcomes.retry, len(outcomes.problems)) == (150, 100)


def test_two_messages_have_two_ids(thorn: Thorn) -> None:
    event = thorn.event("order.created")
    assert event.send({}).message_id != event.send({}).message_id


def test_an_event_is_declared_once(thorn: Thorn) -> None:
    thorn.event("order.created")
    with pytest.raises(ConfigurationError, match="is declared twice; share the first one"):
        thorn.event("order.created")


@pytest.mark.parametrize("name", ["", "order created", "order..created", "order.*"])
def test_an_event_needs_a_name_that_an_event_can_have(thorn: Thorn, name: str) -> None:
    with pytest.raises(InvalidEventName):
        thorn.event(name)


@pytest.mark.parametrize("timeout", [0, -1.0])
def test_an_event_needs_a_timeout_above_zero(thorn: Thorn, timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="it takes seconds, more than 0 and at most 3600"):
        thorn.event("order.created", timeout=timeout)


def test_an_event_that_was_refused_can_be_declared_after_all(thorn: Thorn) -> None:
    with pytest.raises(ConfigurationError):
        thorn.event("order.created", timeout=0)
    with pytest.raises(ConfigurationError):
        thorn.event("order.created", subscribers=42)
    assert thorn.event("order.created").name == "order.created"


def test_a_payload_that_cannot_be_written_is_an_error_of_send_with_nothing_sent(
    thorn: Thorn, transport: RecordingTransport
) -> None:
    thorn.subscribe("order.*", HTTPS)
    with pytest.raises(SerializationError, match=r"\$\.id"):
        thorn.event("order.created").send({"id": object()})
    assert transport.requests == []
    assert list(thorn.deliveries()) == []


def test_an_event_has_terms_of_its_own(thorn: Thorn, transport: RecordingTransport) -> None:
    asked: list[URL] = []
    event = thorn.event(
        "order.created", timeout=1.5, retry=RetryPolicy.never(), recipient_validators=[asked.append]
    )
    assert (event.terms.timeout, event.terms.retry) == (1.5, RetryPolicy.never())
    thorn.subscribe("*", HTTPS)
    event.send({})
    thorn.event("order.deleted").send({})
    assert [str(url) for url in asked] == [HTTPS]
    assert [one.timeout for one in transport.requests] == [1.5, 10.0]


def test_an_event_without_terms_of_its_own_has_those_of_the_settings() -> None:
    def refuses(url: URL) -> None:
        raise RecipientRefused("nobody today")

    with Thorn(pipeline=make_pipeline([RecordingTransport()]), event_timeout=2, retry_max=1) as thorn:
        event = thorn.event("order.created", recipient_validators=[refuses])
        assert event.terms.timeout == 2.0
        assert event.terms.retry == RetryPolicy.fixed(times=1, delay=60)
        thorn.subscribe("*", HTTPS)
        assert event.send({}).outcomes.problems[0].last.detail == "nobody today"
        assert thorn.event("order.deleted").send({}).outcomes.delivered == 1


def test_the_timeout_of_an_event_ends_its_attempts(
    endpoint: Endpoint, open_endpoint: OpenEndpoint, open_thorn: OpenThorn
) -> None:
    slow = open_endpoint(hangs)
    thorn = open_thorn(endpoint, slow)
    thorn.subscribe("*", endpoint.url)
    thorn.subscribe("*", slow.url)
    receipt = thorn.event("order.created", timeout=0.2).send({})
    (problem,) = receipt.outcomes.problems
    assert (receipt.outcomes.delivered, problem.last.outcome.reason) == (1, Reason.TIMEOUT)


def test_an_event_has_subscribers_of_its_own(thorn: Thorn, transport: RecordingTransport) -> None:
    subscriber = {"url": "https://own.example/", "secret": "a secret"}
    event = thorn.event("order.created", subscribers=subscriber)
    thorn.event("order.deleted").send({})
    assert transport.requests == []
    event.send({})
    assert [one.url.host for one in transport.requests] == ["own.example"]


def test_what_settings_and_event_both_name_gets_a_message_once(transport: RecordingTransport) -> None:
    subscriber = {"url": HTTPS, "secret": "a secret"}
    with Thorn(pipeline=make_pipeline([transport]), subscribers={"order.created": subscriber}) as thorn:
        receipt = thorn.event("order.created", subscribers=[subscriber]).send({})
    assert (receipt.outcomes.total, len(transport.requests)) == (1, 1)


def test_subscribers_of_the_settings_get_every_event_that_they_want(transport: RecordingTransport) -> None:
    subscribers = {"order.*": {"url": HTTPS, "secret": "a secret"}}
    with Thorn(pipeline=make_pipeline([transport]), subscribers=subscribers) as thorn:
        assert thorn.event("order.created").send({}).outcomes.delivered == 1
        assert thorn.event("order.deleted").send({}).outcomes.delivered == 1
        assert thorn.event("invoice.sent").send({}).outcomes.total == 0


# Tenants


@pytest.fixture
def tenants(thorn: Thorn) -> Thorn:
    for owner in (None, "acme", "other"):
        thorn.subscribe("order.*", f"https://{owner or 'nobody'}.example/", owner=owner)
    return thorn


def hosts(transport: RecordingTransport) -> list[str]:
    return sorted(one.url.host.partition(".")[0] for one in transport.requests)


def test_a_message_of_a_tenant_reaches_its_own_subscriptions_and_those_of_nobody(
    tenants: Thorn, transport: RecordingTransport
) -> None:
    tenants.event("order.created").send({}, sender="acme")
    assert hosts(transport) == ["acme", "nobody"]


def test_a_message_of_nobody_reaches_no_tenant(tenants: Thorn, transport: RecordingTransport) -> None:
    tenants.event("order.created").send({})
    assert hosts(transport) == ["nobody"]


@pytest.mark.parametrize("sender", ["unknown", "ACME", "acme ", "*"])
def test_a_sender_without_subscriptions_reaches_no_tenant(
    tenants: Thorn, transport: RecordingTransport, sender: str
) -> None:
    tenants.event("order.created").send({}, sender=sender)
    assert hosts(transport) == ["nobody"]


def test_every_tenant_is_reached_where_that_is_asked_for(
    tenants: Thorn, transport: RecordingTransport
) -> None:
    tenants.event("order.created").send({}, broadcast=True)
    assert hosts(transport) == ["acme", "nobody", "other"]


def test_static_subscribers_have_tenants_too(transport: RecordingTransport) -> None:
    subscribers = [
        {"url": f"https://{owner or 'nobody'}.example/", "owner": owner, "secret": "a secret"}
        for owner in (None, "acme", "other")
    ]
    with Thorn(pipeline=make_pipeline([transport]), subscribers={"*": subscribers}) as thorn:
        thorn.event("order.created").send({}, sender="other")
    assert hosts(transport) == ["nobody", "other"]


# asend


def test_asend_does_not_block_the_loop(open_endpoint: OpenEndpoint, open_thorn: OpenThorn) -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    came, released = asyncio.Event(), threading.Event()

    def waits(handler: Handler, seen: Seen) -> None:
        loops[0].call_soon_threadsafe(came.set)
        handler.answer(200 if released.wait(5) else 500)

    async def main() -> int:
        loops.append(asyncio.get_running_loop())
        sending = asyncio.create_task(event.asend({"id": 42}))
        await asyncio.wait_for(came.wait(), 20)
        released.set()  # Where the loop is blocked, nobody comes to say so in time.
        return (await sending).outcomes.delivered

    endpoint = open_endpoint(waits)
    thorn = open_thorn(endpoint)
    thorn.subscribe("*", endpoint.url)
    event = thorn.event("order.created")
    assert asyncio.run(main()) == 1


def test_asend_is_send(tenants: Thorn, transport: RecordingTransport) -> None:
    event = tenants.event("order.created")
    receipt = asyncio.run(event.asend({}, sender="acme"))
    assert (receipt.outcomes.delivered, hosts(transport)) == (2, ["acme", "nobody"])
    asyncio.run(event.asend({}, broadcast=True))
    assert len(transport.requests) == 5


def test_asend_raises_what_send_raises(thorn: Thorn) -> None:
    with pytest.raises(SerializationError):
        asyncio.run(thorn.event("order.created").asend(object()))


def test_threads_may_share_a_thorn(thorn: Thorn, transport: RecordingTransport) -> None:
    thorn.subscribe("*", HTTPS)
    event = thorn.event("order.created")
    threads = [threading.Thread(target=event.send, args=({},)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.id for one in transport.requests}) == 8


# Settings


def test_settings_win_over_keywords_and_keywords_over_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"EVENT_TIMEOUT": "1", "RETRY_MAX": "1", "CONCURRENCY": "1"}.items():
        monkeypatch.setenv(f"THORN_{name}", value)
    settings = Settings.from_mapping({"THORN_EVENT_TIMEOUT": 3})
    with Thorn(settings=settings, event_timeout=2, retry_max=2) as thorn:
        found = thorn.settings
    assert (found.event_timeout, found.retry_max, found.concurrency) == (3, 2, 1)
    assert found.retry_delay is None


def test_a_wrong_setting_of_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORN_CONCURENCY", "8")
    with pytest.raises(SettingError, match="THORN_CONCURENCY is not a setting"):
        Thorn()


def test_a_misspelt_keyword_is_an_error() -> None:
    with pytest.raises(SettingError, match="THORN_CONCURENCY is not a setting"):
        Thorn(concurency=8)  # type: ignore[call-arg]  # on purpose


def test_a_pipeline_in_code_keeps_its_store() -> None:
    pipeline = make_pipeline([RecordingTransport()])
    with Thorn(pipeline=pipeline, store="sqlite:///never-made.db") as thorn:
        assert thorn.pipeline.store is pipeline.store


def test_a_pipeline_in_code_without_a_store_gets_the_one_of_the_settings(tmp_path: object) -> None:
    pipeline = Pipeline(
        serializers=[JsonSerializer()],
        signers=[],
        transports=[RecordingTransport()],
        dispatcher=DefaultDispatcher(),
    )
    with Thorn(pipeline=pipeline, store=f"sqlite:///{tmp_path}/thorn.db") as thorn:
        assert isinstance(thorn.pipeline.store, SqliteStore)
        assert pipeline.store is None


# Subscriptions


@pytest.mark.parametrize("name", ["Signature", "signature-input", "Content_Digest"])
def test_a_subscription_with_a_header_that_a_signer_writes_is_refused(
    name: str, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, signers=["http-signatures"])
    told = (
        f"the header '{name}' is written by the signer HttpSignaturesSigner; a subscription cannot have its"
    )
    with pytest.raises(InvalidHeader, match=told):
        thorn.subscribe("*", endpoint.url, headers={name: "theirs"})
    assert list(thorn.subscriptions()) == []


def test_static_subscribers_with_a_header_that_a_signer_writes_are_refused() -> None:
    one = {"url": HTTPS, "secret": "s", "headers": {"Signature": "theirs"}}
    told = ": in a subscriber of {}, the header 'Signature' is written by the signer HttpSignaturesSigner"
    with pytest.raises(PipelineError, match=re.escape("THORN_SUBSCRIBERS" + told.format("order.*"))):
        Thorn(signers=["http-signatures"], subscribers={"order.*": one})
    with (
        Thorn(signers=["http-signatures"]) as thorn,
        pytest.raises(PipelineError, match="the event 'order.created'" + told.format("order.created")),
    ):
        thorn.event("order.created", subscribers=one)


def test_a_header_that_comes_twice_is_told_of_the_attempt_without_its_value(
    endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, signers=["http-signatures"])
    one = {"url": endpoint.url, "secret": "s", "headers": {"Signature": "hunter2"}}
    event = thorn.event("order.created", subscribers=lambda event, sender: one)
    (problem,) = event.send({}).outcomes.problems
    assert problem.last.outcome.reason is Reason.STAGE_FAILED
    assert problem.last.detail == "the header 'Signature' comes twice, from stages or from the subscription"


def test_a_subscription_has_what_it_was_given(thorn: Thorn) -> None:
    one = thorn.subscribe(
        ["order.*", "invoice.sent"],
        HTTPS,
        secret=["new secret", Secret("old secret")],
        owner="acme",
        content_type="application/json",
        digest="sha512",
        headers={"X-Key": "value"},
    )
    assert [str(pattern) for pattern in one.patterns] == ["order.*", "invoice.sent"]
    assert [secret.reveal() for secret in one.secrets] == ["new secret", "old secret"]
    assert (str(one.url), one.owner, one.digest) == (HTTPS, "acme", Digest.SHA512)
    assert one.headers == (("X-Key", "value"),)
    assert list(thorn.subscriptions()) == [one]


def test_a_subscription_without_a_secret_gets_a_new_one(thorn: Thorn) -> None:
    first, second = thorn.subscribe("*", HTTPS), thorn.subscribe("*", HTTPS)
    assert first.secrets[0].reveal().startswith("whsec_")
    assert first.secrets != second.secrets


def test_a_subscription_without_a_content_type_gets_the_first_of_the_pipeline() -> None:
    serializers = [JsonSerializer("application/vnd.example+json"), JsonSerializer()]
    pipeline = make_pipeline([RecordingTransport()], serializers=serializers)
    with Thorn(pipeline=pipeline) as thorn:
        assert thorn.subscribe("*", HTTPS).content_type == "application/vnd.example+json"


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (
            {"url": "ftp://example.com/"},
            RecipientRefused,
            "no transport serves the scheme 'ftp'; there are: https",
        ),
        (
            {"url": "https://example.com:22/"},
            RecipientRefused,
            "port 22 is forbidden; THORN_ALLOW_PORTS allows: 80, 443",
        ),
        ({"url": "https://10.1.2.3/"}, RecipientRefused, "10.1.2.3 is forbidden: private"),
        ({"url": "https://user:word@example.com/"}, InvalidURL, "it has a user name or password"),
        ({"url": "https://example.com/\n"}, InvalidURL, "a control character"),
        ({"url": "https:///hooks"}, InvalidURL, "it has no host"),
        (
            {"content_type": "text/csv"},
            PipelineError,
            "no serializer writes 'text/csv'; there are: application/json",
        ),
        ({"secret": ""}, InvalidSecret, "must not be empty"),
        ({"secret": []}, InvalidSecret, "at least one secret"),
        ({"patterns": "order.*x"}, InvalidPattern, "must stand alone between dots"),
        ({"patterns": []}, ThornError, "at least one event pattern"),
        ({"headers": {"Hook-Event": "mine"}}, InvalidHeader, "set by the library"),
        ({"digest": "md5"}, ValueError, "md5"),
    ],
)
def test_a_subscription_that_cannot_work_is_refused_and_not_kept(
    thorn: Thorn, change: dict[str, object], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        thorn.subscribe(**{"patterns": "*", "url": HTTPS, **change})  # type: ignore[arg-type]  # one is wrong
    assert list(thorn.subscriptions()) == []


def test_a_validator_of_the_settings_refuses_a_subscription() -> None:
    def partners_only(url: URL) -> None:
        if not url.host.endswith(".partner.example"):
            raise RecipientRefused(f"{url.host} is no partner")

    pipeline = make_pipeline([RecordingTransport()])
    with Thorn(pipeline=pipeline, recipient_validators=[partners_only]) as thorn:
        thorn.subscribe("*", "https://one.partner.example/")
        with pytest.raises(RecipientRefused, match=r"example\.com is no partner") as caught:
            thorn.subscribe("*", HTTPS)
    assert caught.value.reason is Reason.RECIPIENT_REFUSED


def test_subscriptions_are_those_of_the_settings_and_then_those_of_the_store_by_origin() -> None:
    asked = []

    def who(event: str, sender: str | None) -> None:
        asked.append(event)

    subscribers = {"*": [{"url": "https://z.example/", "secret": "a secret"}, who]}
    with Thorn(pipeline=make_pipeline([RecordingTransport()]), subscribers=subscribers) as thorn:
        for host in ("c", "a", "b"):
            thorn.subscribe("*", f"https://{host}.example/")
        found = [one.url.host[0] for one in thorn.subscriptions()]
    assert found == ["z", "a", "b", "c"]
    assert asked == []


def test_a_static_subscription_that_was_changed_in_the_store_is_listed_once() -> None:
    store = MemoryStore()
    store.put([make_subscription(1, disabled="enough")])
    pipeline = make_pipeline([RecordingTransport()], store=store)
    with Thorn(pipeline=pipeline, subscribers={"*": make_subscription(1)}) as thorn:
        assert [one.disabled for one in thorn.subscriptions()] == ["enough"]


def test_who_unsubscribes_gets_nothing_more(thorn: Thorn, transport: RecordingTransport) -> None:
    one = thorn.subscribe("*", HTTPS)
    thorn.unsubscribe(one.id)
    assert thorn.event("order.created").send({}).outcomes.total == 0
    assert list(thorn.subscriptions()) == []


def test_who_unsubscribes_gets_no_retry(clock: FakeClock) -> None:
    pipeline = make_pipeline([RecordingTransport(says_status(500))])
    with Thorn(pipeline=pipeline, clock=clock) as thorn:
        subscription = thorn.subscribe("order.*", "https://example.com/")
        thorn.event("order.created").send(1)
        thorn.unsubscribe(subscription.id)
        (record,) = thorn.deliveries()
    assert (record.kind, record.last.outcome.reason) == (OutcomeKind.FAILED, Reason.UNSUBSCRIBED)


@pytest.mark.parametrize(
    ("sender", "told"),
    [
        ("", "the sender must not be empty; give None for nobody"),
        ("\ud800", "the sender has a lone surrogate"),
    ],
)
def test_a_sender_that_cannot_be_is_an_error_with_nothing_sent(
    thorn: Thorn, transport: RecordingTransport, sender: str, told: str
) -> None:
    thorn.subscribe("order.*", "https://example.com/")
    with pytest.raises(InvalidValue, match=told):
        thorn.event("order.created").send(1, sender=sender)
    assert transport.requests == []


class Unwritable(dict[str, object]):
    def items(self) -> Never:
        raise LookupError("told nowhere")


def test_a_payload_that_breaks_while_it_is_written_is_an_error_of_ours(thorn: Thorn) -> None:
    with pytest.raises(SerializationError, match=r"the serializer raised LookupError at test_thorn\.py"):
        thorn.event("order.created").send(Unwritable())


def test_settings_that_were_made_directly_count_as_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORN_DISPATCHER", "default")
    with Thorn(settings=Settings(dispatcher="disabled")) as thorn:
        assert thorn.event("order.created").send(1).state is ReceiptState.DISABLED


def test_unsubscribing_what_is_not_there_is_an_error(thorn: Thorn) -> None:
    with pytest.raises(NotFound, match=f"there is no subscription {UUID(int=7)} in the store"):
        thorn.unsubscribe(UUID(int=7))


# Disabled and enabled


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [text for text in caplog.messages if text.startswith(f"{event} ")]


def test_a_disabled_subscription_gets_nothing_until_it_is_enabled(thorn: Thorn) -> None:
    one = thorn.subscribe("*", HTTPS)
    event = thorn.event("order.created")
    assert thorn.disable(one.id, why="they moved").disabled == "they moved"
    assert event.send({}).outcomes.total == 0
    assert thorn.enable(one.id) == one
    assert event.send({}).outcomes.delivered == 1


def test_both_are_told_in_the_log(thorn: Thorn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    one = thorn.subscribe("*", HTTPS)
    thorn.disable(one.id)
    thorn.enable(one.id)
    fields = f"subscription={one.id} origin=https://example.com"
    assert caplog.messages == [
        f"subscription.disabled {fields} reason=on request",
        f"subscription.enabled {fields}",
    ]


def test_what_is_so_already_stays_so_and_is_not_told_again(
    thorn: Thorn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    one = thorn.subscribe("*", HTTPS)
    assert thorn.enable(one.id) == one
    assert thorn.disable(one.id) == thorn.disable(one.id)
    assert len(told(caplog, "subscription.disabled")) == 1
    assert told(caplog, "subscription.enabled") == []


def test_who_disables_it_again_for_another_reason_is_heard(
    thorn: Thorn, caplog: pytest.LogCaptureFixture
) -> None:
    one = thorn.subscribe("*", HTTPS)
    thorn.disable(one.id, why="answered 410")
    assert thorn.disable(one.id, why="they cancelled").disabled == "they cancelled"
    assert len(told(caplog, "subscription.disabled")) == 2


def test_a_subscription_is_not_disabled_without_a_reason(thorn: Thorn) -> None:
    one = thorn.subscribe("*", HTTPS)
    with pytest.raises(InvalidValue, match="the reason why a subscription is disabled must not be empty"):
        thorn.disable(one.id, why="")
    assert list(thorn.subscriptions()) == [one]


@pytest.mark.parametrize("change", [Thorn.enable, Thorn.disable])
def test_what_is_not_there_can_be_neither_enabled_nor_disabled(
    thorn: Thorn, change: Callable[[Thorn, UUID], object]
) -> None:
    with pytest.raises(NotFound, match=f"there is no subscription {UUID(int=7)}, neither in the store nor"):
        change(thorn, UUID(int=7))
    assert list(thorn.subscriptions()) == []


def test_a_static_subscriber_is_disabled_by_way_of_the_store() -> None:
    pipeline = make_pipeline([RecordingTransport()])
    with Thorn(pipeline=pipeline, subscribers={"*": make_subscription(1)}) as thorn:
        of_event = make_subscription(2)
        event = thorn.event("order.created", subscribers=of_event)
        thorn.disable(UUID(int=1))
        thorn.disable(UUID(int=2))
        assert event.send({}).outcomes.total == 0
        assert {one.id.int: one.active for one in thorn.subscriptions()} == {1: False, 2: False}


def test_a_static_subscriber_that_leaves_the_store_is_what_is_configured() -> None:
    pipeline = make_pipeline([RecordingTransport()])
    with Thorn(pipeline=pipeline, subscribers={"*": make_subscription(1)}) as thorn:
        thorn.disable(UUID(int=1))
        thorn.unsubscribe(UUID(int=1))
        assert list(thorn.subscriptions()) == [make_subscription(1)]


def test_enabling_a_static_subscriber_that_is_active_puts_nothing_into_the_store() -> None:
    store = MemoryStore()
    pipeline = make_pipeline([RecordingTransport()], store=store)
    with Thorn(pipeline=pipeline, subscribers={"*": make_subscription(1)}) as thorn:
        assert thorn.enable(UUID(int=1)) == make_subscription(1)
    assert list(store.subscriptions()) == []


# Accepted first


@pytest.mark.parametrize(
    ("setting", "accepted"), [({}, True), ({"durable": "yes"}, True), ({"durable": "no"}, False)]
)
def test_with_a_store_that_outlives_the_process_a_message_is_accepted_first_unless_a_setting_says_no(
    tmp_path: Path, setting: dict[str, Any], accepted: bool
) -> None:
    def look(request: Request) -> Response:
        seen.extend(thorn.deliveries())
        return Response(status=200)

    seen: list[DeliveryRecord] = []
    pipeline = make_pipeline([RecordingTransport(look)], store=SqliteStore(tmp_path / "thorn.db"))
    with Thorn(pipeline=pipeline, **setting) as thorn:
        thorn.subscribe("*", HTTPS)
        assert thorn.event("order.created").send({"id": 42}).outcomes.delivered == 1
    assert [one.state for one in seen] == [DeliveryState.LEASED] * accepted


def test_with_a_store_that_ends_with_the_process_nothing_is_accepted_first() -> None:
    def look(request: Request) -> Response:
        seen.extend(thorn.deliveries())
        return Response(status=200)

    seen: list[DeliveryRecord] = []
    with Thorn(pipeline=make_pipeline([RecordingTransport(look)])) as thorn:
        thorn.subscribe("*", HTTPS)
        assert thorn.event("order.created").send({"id": 42}).outcomes.delivered == 1
    assert seen == []


def test_a_store_that_ends_with_the_process_cannot_be_durable() -> None:
    with pytest.raises(ConfigurationError, match="THORN_DURABLE is on, but the store lives in this process"):
        Thorn(durable=True)


def test_who_holds_a_lease_is_this_process(tmp_path: Path) -> None:
    def look(request: Request) -> Response:
        seen.extend(thorn.deliveries())
        return Response(status=200)

    seen: list[DeliveryRecord] = []
    pipeline = make_pipeline([RecordingTransport(look)], store=SqliteStore(tmp_path / "thorn.db"))
    with Thorn(pipeline=pipeline) as thorn:
        thorn.subscribe("*", HTTPS)
        thorn.event("order.created").send({})
    assert seen[0].lease is not None
    assert f":{os.getpid()}:" in seen[0].lease.holder


# Later attempts


def test_what_failed_is_attempted_again_when_it_is_due(
    open_endpoint: OpenEndpoint, open_thorn: OpenThorn, clock: FakeClock
) -> None:
    endpoint = open_endpoint(in_turn(answers(500), answers(503), answers(200)))
    thorn = open_thorn(endpoint, clock=clock, random=lambda: 0.0)
    thorn.subscribe("*", endpoint.url)
    assert thorn.event("order.created").send({"id": 42}).outcomes.retry == 1
    assert thorn.run_due().total == 0
    clock.advance(5)
    assert thorn.run_due().retry == 1
    clock.advance(300)
    assert thorn.run_due().delivered == 1
    assert len({seen.header("Hook-Delivery") for seen in endpoint.seen}) == 1
    assert {seen.body for seen in endpoint.seen} == {b'{"id":42}'}
    assert [one.last.number for one in thorn.deliveries(DeliveryState.DELIVERED)] == [3]


def test_what_the_subscriber_asks_for_with_retry_after_is_heeded(
    open_endpoint: OpenEndpoint, open_thorn: OpenThorn, clock: FakeClock
) -> None:
    endpoint = open_endpoint(in_turn(answers(429, headers={"Retry-After": "90"}), answers(200)))
    thorn = open_thorn(endpoint, clock=clock, random=lambda: 0.0)
    thorn.subscribe("*", endpoint.url)
    thorn.event("order.created").send({})
    clock.advance(89)
    assert thorn.run_due().total == 0
    clock.advance(1)
    assert thorn.run_due().delivered == 1


def test_a_retry_of_an_event_that_is_not_declared_here_has_the_terms_of_the_settings(
    clock: FakeClock,
) -> None:
    store = MemoryStore()
    with Thorn(
        pipeline=make_pipeline([RecordingTransport(says_status(500))], store=store), clock=clock
    ) as thorn:
        thorn.subscribe("*", HTTPS)
        thorn.event("order.created", timeout=1).send({})
    clock.advance(60)
    transport = RecordingTransport()
    with Thorn(pipeline=make_pipeline([transport], store=store), clock=clock) as other:
        assert other.run_due().delivered == 1
    assert [one.timeout for one in transport.requests] == [10.0]


def test_a_retry_to_a_static_subscriber_needs_no_declaration_of_its_event(clock: FakeClock) -> None:
    subscribers = {"*": {"url": HTTPS, "secret": "a secret"}}
    store = MemoryStore()
    pipeline = make_pipeline([RecordingTransport(says_status(500))], store=store)
    with Thorn(pipeline=pipeline, clock=clock, subscribers=subscribers) as thorn:
        thorn.event("order.created").send({})
    clock.advance(60)
    pipeline = make_pipeline([RecordingTransport()], store=store)
    with Thorn(pipeline=pipeline, clock=clock, subscribers=subscribers) as other:
        assert other.run_due().delivered == 1


def test_a_retry_to_a_subscriber_of_an_event_that_another_process_declares_is_left_to_it(
    clock: FakeClock,
) -> None:
    store, subscriber = MemoryStore(), {"url": HTTPS, "secret": "a secret"}
    pipeline = make_pipeline([RecordingTransport(says_status(500))], store=store)
    with Thorn(pipeline=pipeline, clock=clock) as thorn:
        thorn.event("order.created", subscribers=subscriber).send({})
    clock.advance(60)
    transport = RecordingTransport()
    with Thorn(pipeline=make_pipeline([transport], store=store), clock=clock) as other:
        assert other.run_due().retry == 1
        assert [one.state for one in other.deliveries()] == [DeliveryState.PENDING]
    assert transport.requests == []


def test_a_delivery_can_be_replayed(thorn: Thorn, transport: RecordingTransport) -> None:
    thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({"id": 42})
    (first,) = thorn.deliveries()
    again = thorn.replay(first.id)
    assert (again.id, again.last.number, again.kind) == (first.id, 2, OutcomeKind.DELIVERED)
    assert [one.body for one in transport.requests] == [b'{"id":42}'] * 2


def test_a_replay_of_an_unknown_delivery_is_an_error(thorn: Thorn) -> None:
    with pytest.raises(NotFound):
        thorn.replay(UUID(int=7))


def test_every_attempt_of_a_delivery_is_kept_with_where_it_went_and_how_the_answer_began(
    open_endpoint: OpenEndpoint, open_thorn: OpenThorn, clock: FakeClock
) -> None:
    endpoint = open_endpoint(in_turn(answers(500, b"busy"), answers(200, b"thanks")))
    thorn = open_thorn(endpoint, clock=clock)
    thorn.subscribe("*", endpoint.url)
    (problem,) = thorn.event("order.created").send({}).outcomes.problems
    clock.advance(10)
    thorn.run_due()
    kept = thorn.attempts(problem.id)
    assert [(one.number, one.status, one.answer) for one in kept] == [(1, 500, b"busy"), (2, 200, b"thanks")]
    assert {one.address for one in kept} == {"127.0.0.1"}


def test_those_deliveries_are_given_that_a_filter_admits(thorn: Thorn, transport: RecordingTransport) -> None:
    owned, _ = thorn.subscribe("*", HTTPS, owner="acme"), thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({}, sender="acme")
    (found,) = thorn.deliveries(DeliveryFilter(owner="acme"))
    assert (found.subscription_id, found.owner) == (owned.id, "acme")
    assert len(list(thorn.deliveries(DeliveryState.DELIVERED))) == 2


# Dispatchers


def test_the_disabled_dispatcher_sends_nothing_and_says_so(
    transport: RecordingTransport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    with Thorn(pipeline=make_pipeline([transport], dispatcher=DisabledDispatcher())) as thorn:
        thorn.subscribe("*", HTTPS)
        receipt = thorn.event("order.created").send({})
        assert list(thorn.deliveries()) == []
    assert (receipt.dispatcher, receipt.state) == ("disabled", ReceiptState.DISABLED)
    assert receipt.outcomes.total == 0
    assert transport.requests == []
    assert caplog.messages == [
        f"message.disabled message_id={receipt.message_id} event_name=order.created dispatcher=disabled"
    ]


def test_a_setting_disables_all_sending(endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(endpoint, dispatcher="disabled")
    thorn.subscribe("*", endpoint.url)
    assert thorn.event("order.created").send({}).state is ReceiptState.DISABLED
    assert endpoint.seen == []


def test_the_default_dispatcher_ends_when_every_request_has_ended(
    open_endpoint: OpenEndpoint, open_thorn: OpenThorn
) -> None:
    def slow(handler: Handler, seen: Seen) -> None:
        time.sleep(0.05)
        answered.append(seen.path)
        handler.answer(200)

    answered: list[str] = []
    endpoint = open_endpoint(slow)
    thorn = open_thorn(endpoint)
    for number in range(5):
        thorn.subscribe("*", f"{endpoint.url}/{number}")
    assert thorn.event("order.created").send({}).outcomes.delivered == 5
    assert len(answered) == 5


def test_a_message_that_a_dispatcher_only_takes_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    pipeline = make_pipeline([RecordingTransport()], dispatcher=RecordingDispatcher())
    with Thorn(pipeline=pipeline) as thorn:
        receipt = thorn.event("order.created").send({})
    assert receipt.state is ReceiptState.QUEUED
    assert caplog.messages == [
        f"message.queued message_id={receipt.message_id} event_name=order.created dispatcher=recording"
    ]


def test_a_message_that_a_dispatcher_cannot_take_is_an_error_of_send() -> None:
    dispatcher = RecordingDispatcher(room=0)
    with Thorn(pipeline=make_pipeline([RecordingTransport()], dispatcher=dispatcher)) as thorn:
        event = thorn.event("order.created")
        with pytest.raises(DispatchError) as caught:
            event.send({})
    assert str(caught.value) == "the dispatcher 'recording' could not take the message: there is no room"


def partners_only(url: URL) -> None:
    """Refuses nothing today."""


def test_another_process_can_be_told_what_an_event_requires() -> None:
    subscribers = {"order.*": make_subscription(1), "cart": make_subscription(2)}
    with Thorn(
        pipeline=make_pipeline([RecordingTransport()]), subscribers=subscribers, recipient_validators=[print]
    ) as thorn:
        thorn.event("order.created", subscribers=make_subscription(3), recipient_validators=[partners_only])
        general = {f"the static subscriber {UUID(int=1)}", "the recipient validator builtins:print"}
        own = {f"the static subscriber {UUID(int=3)}", f"the recipient validator {__name__}:partners_only"}
        assert thorn.deliverer.requirements("order.created") == general | own
        assert thorn.deliverer.requirements("order.deleted") == general


def test_another_process_can_be_told_which_headers_serializers_write() -> None:
    serializers: list[Serializer] = [
        JsonSerializer(),
        SayingSerializer(lambda delivery: (), "text/plain"),
    ]
    with Thorn(pipeline=make_pipeline([RecordingTransport()], serializers=serializers)) as thorn:
        told = thorn.deliverer.requirements("order.created")
    assert told == {"the headers that support.stages:SayingSerializer adds to text/plain"}


def test_what_is_left_to_deliver_goes_by_the_deliverer(thorn: Thorn, transport: RecordingTransport) -> None:
    thorn.subscribe("*", HTTPS)
    deliverer, dispatch = thorn.deliverer, make_dispatch({"id": 42})
    (record,) = deliverer.deliver(dispatch, deliverer.matching(dispatch.audience))
    assert [(one.id, one.last) for one in thorn.deliveries()] == [(record.id, record.last)]
    assert [one.body for one in transport.requests] == [b'{"id":42}']


# Life


def test_leaving_a_thorn_closes_its_stages(transport: RecordingTransport) -> None:
    with Thorn(pipeline=make_pipeline([transport])):
        assert transport.closed == 0
    assert transport.closed == 1


def test_a_thorn_is_closed_where_the_block_raises(transport: RecordingTransport) -> None:
    with pytest.raises(LookupError), Thorn(pipeline=make_pipeline([transport])):
        raise LookupError
    assert transport.closed == 1


def test_closing_twice_does_no_harm(open_thorn: OpenThorn) -> None:
    thorn = open_thorn()
    thorn.close()
    thorn.close()


def test_a_closed_thorn_can_do_nothing_more(thorn: Thorn) -> None:
    event = thorn.event("order.created")
    thorn.close()
    for use in (
        lambda: event.send({}),
        lambda: asyncio.run(event.asend({})),
        lambda: thorn.subscribe("*", HTTPS),
        lambda: thorn.enable(UUID(int=1)),
        lambda: thorn.unsubscribe(UUID(int=1)),
        lambda: list(thorn.subscriptions()),
        lambda: list(thorn.deliveries()),
        lambda: thorn.delivery(UUID(int=1)),
        lambda: thorn.attempts(UUID(int=1)),
        thorn.run_due,
        lambda: thorn.replay(UUID(int=1)),
        lambda: thorn.replay_all(DeliveryFilter()),
        thorn.next_due,
        lambda: thorn.prune(keep=1),
    ):
        with pytest.raises(ClosedError, match="this Thorn was closed; make a new one"):
            use()
