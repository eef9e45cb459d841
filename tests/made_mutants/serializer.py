from made_mutants import Mutant, method

PLAIN = "to_plain(message.payload)"
ENVELOPE = "        envelope = {\n"
WRITES = "return _ENCODER.encode(envelope).encode()"
CONTENT_TYPE = 'content_type: str = "application/json"'
NEXT_CLASS = "@frozen(kw_only=True)\n"


def plain_with(handler: str) -> dict[str, str]:
    """What is done where the payload cannot be written."""
    tried = f"        try:\n            plain = {PLAIN}\n        except SerializationError as exc:\n"
    return {f"{PLAIN},": "plain,", ENVELOPE: f"{tried}            {handler}\n{ENVELOPE}"}


MUTANTS = (
    Mutant(
        "a method that is forgotten",
        breaks="test_is_a_serializer",
        seen="it is a PigeonSerializer, which is no Serializer: it has no serialize",
        changes={"    def serialize(self": "    def dumps(self"},
    ),
    Mutant(
        "a content type without a subtype",
        breaks="test_has_a_content_type_that_can_be_sent",
        seen="it is 'json', which has no type and subtype",
        changes={CONTENT_TYPE: 'content_type: str = "json"'},
    ),
    Mutant(
        "a boundary of its own each time",
        breaks="test_keeps_its_content_type",
        seen="it was 'multipart/mixed; boundary=",
        changes={
            f"    {CONTENT_TYPE}\n": method("""
                @property
                def content_type(self):
                    return f"multipart/mixed; boundary={uuid4().hex}"
            """)
        },
        imports="from uuid import uuid4",
    ),
    Mutant(
        "text in place of bytes",
        breaks="test_gives_bytes",
        seen="for {'id': 42} it gave a str",
        changes={WRITES: "return _ENCODER.encode(envelope)"},
    ),
    Mutant(
        "the time at which it is written",
        breaks="test_writes_a_message_alike_each_time",
        seen="{'id': 42} was written in ",
        changes={"message.created_at.isoformat()": "datetime.now().isoformat()"},
        imports="from datetime import datetime",
    ),
    Mutant(
        "a payload that is left out",
        breaks="test_writes_different_payloads_differently",
        seen="4 payloads became 1 bodies",
        changes={f"            self.under: {PLAIN},\n": ""},
    ),
    Mutant(
        "a payload that is changed",
        breaks="test_leaves_the_payload_as_it_is",
        seen="{'id': 42} became {'id': 42, 'type': 'order.created'}",
        changes={ENVELOPE: f'        message.payload["type"] = message.event\n{ENVELOPE}'},
    ),
    Mutant(
        "an error of another kind",
        breaks="test_says_what_it_cannot_write",
        seen="it raised TypeError in place of SerializationError",
        changes={PLAIN: "message.payload"},
    ),
    Mutant(
        "an error that quotes the payload",
        breaks="test_quotes_nothing_of_the_payload_in_an_error",
        seen="the error says: ",
        changes=plain_with('raise SerializationError(exc.path, f"this is no JSON: {message.payload}")'),
        imports="from thornsdk.errors import SerializationError",
    ),
    Mutant(
        "an error that is made of something else",
        breaks="test_raises_errors_that_pickle",
        seen="it raised ",
        changes={
            **plain_with("raise NoPlace(message, exc.path)"),
            NEXT_CLASS: "class NoPlace(SerializationError):\n"
            "    def __init__(self, message, path):\n"
            '        super().__init__(path, f"this has no place in {message.event}")\n\n\n'
            f"{NEXT_CLASS}",
        },
        imports="from thornsdk.errors import SerializationError",
    ),
    Mutant(
        "parts that an error leaves behind",
        breaks="test_writes_on_after_an_error",
        seen="before the error it wrote b'order.created",
        changes={
            NEXT_CLASS: f"_PARTS = []\n\n\n{NEXT_CLASS}",
            ENVELOPE: f"        _PARTS.append(message.event)\n{ENVELOPE}",
            WRITES: "_PARTS.append(_ENCODER.encode(envelope))\n"
            '        body = "".join(_PARTS)\n'
            "        _PARTS.clear()\n"
            "        return body.encode()",
        },
    ),
    Mutant(
        "what the first thread alone has",
        breaks="test_serves_several_threads",
        seen="it raised AttributeError: '_thread._local' object has no attribute 'encoder'",
        changes={
            NEXT_CLASS: f"_OWN = threading.local()\n_OWN.encoder = _ENCODER\n\n\n{NEXT_CLASS}",
            WRITES: "return _OWN.encoder.encode(envelope).encode()",
        },
        imports="import threading",
    ),
    Mutant(
        "what Python writes in place of JSON",
        breaks="test_writes_json_where_it_says_so",
        seen="b\"{'id': ",
        changes={WRITES: "return str(envelope).encode()"},
    ),
    Mutant(
        "JSON in JSON",
        breaks="test_reads_back_as_it_was",
        seen="{'id': 42} was written as ",
        changes={PLAIN: f"json.dumps({PLAIN})"},
    ),
)
