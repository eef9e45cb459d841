from made_mutants import Mutant

SECRETS = "delivery.subscription.valid_secrets(at)"
ALGORITHM = "hashlib.sha256).hexdigest()"
FIRST_FUNCTION = "def signature("

MUTANTS = (
    Mutant(
        "a method that is forgotten",
        breaks="test_is_a_signer",
        seen="it is a PigeonSigner, which is no Signer: it has no sign",
        changes={"    def sign(self": "    def signed(self"},
    ),
    Mutant(
        "a comma that is left out",
        breaks="test_gives_pairs_of_text",
        seen="it gave 'X-Signature', which is no tuple of two texts",
        changes={"*signatures])),)": "*signatures])))"},
    ),
    Mutant(
        "a line for each signature",
        breaks="test_gives_headers_that_can_be_sent",
        seen="the value of the header 'X-Signature' cannot be sent",
        changes={'",".join(': r'"\n".join('},
    ),
    Mutant(
        "a header of the library",
        breaks="test_leaves_the_names_of_others_alone",
        seen="the header 'Hook-Delivery' is set by the library",
        changes={'header: str = "X-Signature"': 'header: str = "Hook-Delivery"'},
    ),
    Mutant(
        "a name as it is written",
        breaks="test_gives_the_headers_that_it_names",
        seen="it names X-Signature, which is not in lower case",
        changes={"self.header.lower()": "self.header"},
    ),
    Mutant(
        "a body that has to be text",
        breaks="test_signs_any_body",
        seen=r"for b'\x00\x01",
        changes={'b"%d." % timestamp + body': 'f"{timestamp}.{body.decode()}".encode()'},
    ),
    Mutant(
        "the beginning of the body alone",
        breaks="test_covers_the_body",
        seen="with another byte at 5120 of 10240, the headers are the same",
        changes={"timestamp + body,": "timestamp + body[:1024],"},
    ),
    Mutant(
        "a hash without a key",
        breaks="test_is_keyed_on_the_secret",
        seen="with another secret, the headers are the same",
        changes={
            'hmac.new(key, b"%d." % timestamp + body, hashlib.sha256)': (
                'hashlib.sha256(b"%d." % timestamp + body)'
            )
        },
    ),
    Mutant(
        "a number that is used once",
        breaks="test_signs_alike_each_time",
        seen="it gave X-Signature: n=",
        changes={'[f"t={timestamp}",': '[f"n={token_hex(8)}", f"t={timestamp}",'},
        imports="from secrets import token_hex",
    ),
    Mutant(
        "a clock of its own",
        breaks="test_takes_the_time_that_it_is_given",
        seen="the header X-Signature tells the time of now; the attempt began in 2001",
        changes={"int(at.timestamp())": "int(datetime.now().timestamp())"},
    ),
    Mutant(
        "the current secret alone",
        breaks="test_signs_with_secrets_that_have_not_ended",
        seen="with an old secret that has not ended, the headers are those of the new alone",
        changes={SECRETS: "delivery.subscription.secrets"},
    ),
    Mutant(
        "old secrets for ever",
        breaks="test_signs_with_no_secret_that_has_ended",
        seen="with an old secret that has ended, the headers differ from those of the new alone",
        changes={
            SECRETS: "[*delivery.subscription.secrets, "
            "*(one.secret for one in delivery.subscription.old_secrets)]"
        },
    ),
    Mutant(
        "a secret that is given away",
        breaks="test_gives_no_secret_away",
        seen="the header X-Signature holds a secret of the subscription",
        changes={'f"v1={signature(': 'f"k={one.key.hex()},v1={signature('},
    ),
    Mutant(
        "what the first thread alone has",
        breaks="test_serves_several_threads",
        seen="it raised AttributeError: '_thread._local' object has no attribute 'algorithm'",
        changes={
            ALGORITHM: "_OWN.algorithm).hexdigest()",
            FIRST_FUNCTION: "_OWN = threading.local()\n_OWN.algorithm = hashlib.sha256\n\n\n"
            f"{FIRST_FUNCTION}",
        },
        imports="import threading",
    ),
    Mutant(
        "a time that is told otherwise than it is signed",
        breaks="test_verifies",
        seen="a body of 0 bytes is not authentic for who knows its secret",
        changes={"one.key, timestamp,": "one.key, timestamp * 1000,"},
    ),
    Mutant(
        "the time alone",
        breaks="test_shows_a_changed_body",
        seen="a body that was changed on the way is taken for authentic",
        changes={"timestamp + body,": "timestamp,"},
    ),
    Mutant(
        "a key for all",
        breaks="test_shows_another_secret",
        seen="what was signed with another secret is taken for authentic",
        changes={"hmac.new(key,": 'hmac.new(b"pigeon",'},
    ),
    Mutant(
        "the oldest secret alone",
        breaks="test_verifies_while_secrets_are_rotated",
        seen="who has the new secret cannot verify",
        changes={SECRETS: f"{SECRETS}[-1:]"},
    ),
)
