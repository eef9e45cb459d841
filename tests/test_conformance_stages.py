"""The built-in serializers, signers and observers keep what their kinds promise."""

import json
import re
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qsl

import pytest
from http_message_signatures import HTTPMessageVerifier, InvalidSignature
from prometheus_client import CollectorRegistry

from support.http_messages import COVERED, Message, by_key, by_secret
from support.telemetry import Sdk
from thornsdk import (
    Delivery,
    Observer,
    Secret,
    Serializer,
    Signer,
    SigningKey,
    hook_hmac,
    standard_webhooks,
    standard_webhooks_v1a,
)
from thornsdk.testing import RecordingObserver
from thornsdk.testing.suites import ObserverSuite, SerializerSuite, SignerSuite
from thornsdk.typing import Headers
from thornsdk_plugins.cloudevents import BinaryCloudEventsSerializer, StructuredCloudEventsSerializer
from thornsdk_plugins.form import FormSerializer
from thornsdk_plugins.hook_hmac import HookHmacSigner
from thornsdk_plugins.http_signatures import HttpSignaturesSigner
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.opentelemetry import OpenTelemetryObserver
from thornsdk_plugins.prometheus import PrometheusObserver
from thornsdk_plugins.standard_webhooks import Ed25519Signer, StandardWebhooksSigner

KEY = SigningKey.generate()


class TestJson(SerializerSuite):
    @pytest.fixture
    def serializer(self) -> Serializer:
        return JsonSerializer()

    def read(self, body: bytes) -> object:
        return json.loads(body)


class TestStructuredCloudEvents(SerializerSuite):
    @pytest.fixture
    def serializer(self) -> Serializer:
        return StructuredCloudEventsSerializer(source="/shop")

    def read(self, body: bytes) -> object:
        return json.loads(body)["data"]


class TestBinaryCloudEvents(TestJson):
    @pytest.fixture
    def serializer(self) -> Serializer:
        return BinaryCloudEventsSerializer(source="/shop")


class TestForm(SerializerSuite):
    @pytest.fixture
    def serializer(self) -> Serializer:
        return FormSerializer()

    def payloads(self) -> Sequence[object]:
        # What is nested does not read back as it was: it is named by its place.
        return ({"id": "42"}, {"name": "Jane & Joe = 2", "snow": "☃"}, {"note": ""})

    def read(self, body: bytes) -> object:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True))


class TestHookHmac(SignerSuite):
    signs_with_old_secrets = False

    @pytest.fixture
    def signer(self) -> Signer:
        return HookHmacSigner()

    def verify(self, came: Delivery, headers: Headers, secret: Secret) -> bool:
        return dict(headers)["Hook-HMAC"] == hook_hmac(secret.key, came.body)


class TestStandardWebhooks(SignerSuite):
    @pytest.fixture
    def signer(self) -> Signer:
        return StandardWebhooksSigner()

    def verify(self, came: Delivery, headers: Headers, secret: Secret) -> bool:
        told = dict(headers)
        wanted = standard_webhooks(secret.key, told["webhook-id"], int(told["webhook-timestamp"]), came.body)
        return wanted in told["webhook-signature"].split()


class TestEd25519(TestStandardWebhooks):
    """With its keys besides; who knows a secret verifies as ever."""

    @pytest.fixture
    def signer(self) -> Signer:
        return Ed25519Signer(keys=KEY)


class TestEd25519ByKey(TestEd25519):
    """For who knows the public key alone."""

    signs_with_secrets = False

    def verify(self, came: Delivery, headers: Headers, secret: Secret) -> bool:
        told = dict(headers)
        wanted = standard_webhooks_v1a(KEY, told["webhook-id"], int(told["webhook-timestamp"]), came.body)
        return wanted in told["webhook-signature"].split()


def verifies(verifier: HTTPMessageVerifier, came: Delivery, headers: Headers) -> bool:
    """Tells whether one of the signatures is authentic, for a receiver who does not mind how old it is."""
    told = {
        "Content-Type": came.content_type,
        "Hook-Event": came.event,
        "Hook-Delivery": str(came.id),
        "Hook-Subscription": str(came.subscription.id),
        **dict(headers),
    }
    message = Message(str(came.subscription.url), told)

    def is_authentic(label: str) -> bool:
        try:
            verifier.verify(
                message,
                max_age=None,
                body=came.body,
                require_components=COVERED,
                expect_tag="thornsdk",
                expect_label=label,
            )
        except InvalidSignature:
            return False
        return True

    return any(map(is_authentic, re.findall(r"\b(sig\d)=", told["Signature"])))


class TestHttpSignatures(SignerSuite):
    @pytest.fixture
    def signer(self) -> Signer:
        return HttpSignaturesSigner()

    def verify(self, came: Delivery, headers: Headers, secret: Secret) -> bool:
        return verifies(by_secret(secret.reveal(), came.subscription.id), came, headers)


class TestHttpSignaturesByKey(SignerSuite):
    signs_with_secrets = False

    @pytest.fixture
    def signer(self) -> Signer:
        return HttpSignaturesSigner(keys=KEY)

    def verify(self, came: Delivery, headers: Headers, secret: Secret) -> bool:
        return verifies(by_key(KEY), came, headers)


class TestRecordingObserver(ObserverSuite):
    @pytest.fixture
    def observer(self) -> Observer:
        return RecordingObserver()


class TestOpenTelemetry(ObserverSuite):
    @pytest.fixture
    def observer(self) -> Iterator[Observer]:
        with Sdk() as sdk:
            yield OpenTelemetryObserver(tracer_provider=sdk.traces, meter_provider=sdk.meters)


class TestPrometheus(ObserverSuite):
    @pytest.fixture
    def observer(self) -> Observer:
        return PrometheusObserver(CollectorRegistry())
