"""The built-in serializers, signers and observers keep what their kinds promise."""

import json
from collections.abc import Sequence
from urllib.parse import parse_qsl

import pytest

from thornsdk import Observer, Secret, Serializer, Signer, hook_hmac, standard_webhooks
from thornsdk.testing import RecordingObserver
from thornsdk.testing.suites import ObserverSuite, SerializerSuite, SignerSuite
from thornsdk.typing import Headers
from thornsdk_plugins.form import FormSerializer
from thornsdk_plugins.hook_hmac import HookHmacSigner
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.standard_webhooks import StandardWebhooksSigner


class TestJson(SerializerSuite):
    @pytest.fixture
    def serializer(self) -> Serializer:
        return JsonSerializer()

    def read(self, body: bytes) -> object:
        return json.loads(body)


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

    def verify(self, headers: Headers, body: bytes, secret: Secret) -> bool:
        return dict(headers)["Hook-HMAC"] == hook_hmac(secret.key, body)


class TestStandardWebhooks(SignerSuite):
    @pytest.fixture
    def signer(self) -> Signer:
        return StandardWebhooksSigner()

    def verify(self, headers: Headers, body: bytes, secret: Secret) -> bool:
        came = dict(headers)
        wanted = standard_webhooks(secret.key, came["webhook-id"], int(came["webhook-timestamp"]), body)
        return wanted in came["webhook-signature"].split()


class TestRecordingObserver(ObserverSuite):
    @pytest.fixture
    def observer(self) -> Observer:
        return RecordingObserver()
