from made_mutants import Mutant, method

INIT = "        self._only = only\n"
DISABLED = "return self._receipt(dispatch, ReceiptState.DISABLED, Tally())"
ENDED = "return self._receipt(dispatch, ReceiptState.ENDED, tally(deliverer.deliver_all(dispatch)))"
NEXT_METHOD = "    def _receipt(self"


def adds(code: str) -> dict[str, str]:
    """A method besides."""
    return {NEXT_METHOD: method(code) + NEXT_METHOD}


MUTANTS = (
    Mutant(
        "a method that is forgotten",
        breaks="test_is_a_dispatcher",
        seen="it is a PigeonDispatcher, which is no Dispatcher: it has no dispatch",
        changes={"    def dispatch(self": "    def deliver(self"},
    ),
    Mutant(
        "a blank behind the name",
        breaks="test_has_a_name",
        seen="its name is 'pigeon '",
        changes={'return "pigeon"': 'return "pigeon "'},
    ),
    Mutant(
        "a receipt of another message",
        breaks="test_gives_a_receipt_of_the_message",
        seen="the receipt has the id of another message",
        changes={"message_id=dispatch.message.id,": "message_id=uuid4(),"},
        imports="from uuid import uuid4",
    ),
    Mutant(
        "results that nobody reads",
        breaks="test_tells_the_outcomes_of_what_has_ended",
        seen="0 of 3 requests were made",
        changes={
            ENDED: "deliverer.deliver_all(dispatch)\n"
            "        return self._receipt(dispatch, ReceiptState.ENDED, Tally())"
        },
    ),
    Mutant(
        "another payload",
        breaks="test_sends_the_message_as_it_is",
        seen="""b'{"id":42}' arrived as b'null'""",
        changes={
            ENDED: 'bodies = Bodies.written({"application/json": b"null"})\n'
            "        outcomes = tally(deliverer.deliver_all(evolve(dispatch, bodies=bodies)))\n"
            "        return self._receipt(dispatch, ReceiptState.ENDED, outcomes)"
        },
        imports="from attrs import evolve\nfrom thornsdk import Bodies",
    ),
    Mutant(
        "a sender that is lost",
        breaks="test_reaches_those_alone_whom_the_sender_may_reach",
        seen="of the tenant acme, nobody, acme and other have [1, 0, 0] messages, not [1, 1, 0]",
        changes={
            ENDED: "audience = evolve(dispatch.audience, sender=None)\n"
            "        outcomes = tally(deliverer.deliver_all(evolve(dispatch, audience=audience)))\n"
            "        return self._receipt(dispatch, ReceiptState.ENDED, outcomes)"
        },
        imports="from attrs import evolve",
    ),
    Mutant(
        "a time limit of its own",
        breaks="test_keeps_the_terms_of_the_event",
        seen="the time limit is 0.05, and the reason is accepted",
        changes={
            ENDED: "terms = evolve(dispatch.terms, timeout=60.0)\n"
            "        outcomes = tally(deliverer.deliver_all(evolve(dispatch, terms=terms)))\n"
            "        return self._receipt(dispatch, ReceiptState.ENDED, outcomes)"
        },
        imports="from attrs import evolve",
    ),
    Mutant(
        "deliveries of which it says that there are none",
        breaks="test_sends_nothing_where_it_says_so",
        seen="3 requests were made",
        changes={DISABLED: f"tally(deliverer.deliver_all(dispatch))\n            {DISABLED}"},
    ),
    Mutant(
        "a problem that is raised",
        breaks="test_keeps_troubles_apart",
        seen="it raised DispatchError: ",
        changes={
            ENDED: "outcomes = tally(deliverer.deliver_all(dispatch))\n"
            "        if outcomes.problems:\n"
            '            raise DispatchError(self.name, "some subscribers could not be reached")\n'
            "        return self._receipt(dispatch, ReceiptState.ENDED, outcomes)"
        },
        imports="from thornsdk.errors import DispatchError",
    ),
    Mutant(
        "the active ones alone",
        breaks="test_keeps_what_the_disabled_miss",
        seen="of 1 delivery that it missed, the store has 0",
        changes={
            ENDED: "active = deliverer.matching(dispatch.audience)\n"
            "        outcomes = tally(deliverer.deliver(dispatch, active))\n"
            "        return self._receipt(dispatch, ReceiptState.ENDED, outcomes)"
        },
    ),
    Mutant(
        "the last one first",
        breaks="test_takes_many_in_their_order",
        seen="the receipt has the id of another message",
        changes=adds("""
            def dispatch_many(self, dispatches, deliverer):
                return super().dispatch_many([*reversed(dispatches)], deliverer)
        """),
    ),
    Mutant(
        "a first message that is not there",
        breaks="test_takes_none",
        seen="it raised IndexError: ",
        changes=adds("""
            def dispatch_many(self, dispatches, deliverer):
                deliverer.terms(dispatches[0].message.event)
                return super().dispatch_many(dispatches, deliverer)
        """),
    ),
    Mutant(
        "the latest message of an event alone",
        breaks="test_has_each_of_many_delivered",
        seen="of 5 messages, a subscriber got 1",
        changes=adds("""
            def dispatch_many(self, dispatches, deliverer):
                latest = {one.message.event: one for one in dispatches}
                return super().dispatch_many([*latest.values()], deliverer)
        """),
    ),
    Mutant(
        "what the first thread alone has",
        breaks="test_serves_several_threads",
        seen="it raised AttributeError: '_thread._local' object has no attribute 'taken'",
        changes={
            INIT: f"{INIT}        self._own = threading.local()\n        self._own.taken = 0\n",
            ENDED: f"self._own.taken += 1\n        {ENDED}",
        },
        imports="import threading",
    ),
    Mutant(
        "an end that comes once",
        breaks="test_closes_twice",
        seen="it raised AttributeError: 'PigeonDispatcher' object has no attribute '_only'",
        changes=adds("""
            def close(self):
                del self._only
        """),
    ),
    Mutant(
        "an error of its own after the end",
        breaks="test_does_not_hang_after_its_end",
        seen="it raised TypeError: 'NoneType' object is not iterable",
        changes=adds("""
            def close(self):
                self._only = None
        """),
    ),
)
