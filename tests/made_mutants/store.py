"""The made store inherits from that of SQLite: one mistake for each part of the suite, and those of its own.

That each single promise of a store can be broken, and is found then, is shown in `mutants.stores`.
"""

from made_mutants import Mutant, method

OPENS = "        super().__init__(path)\n"


def adds(code: str) -> dict[str, str]:
    """A method in place of one that is inherited."""
    return {OPENS: f"{OPENS}\n{method(code)}"}


MUTANTS = (
    Mutant(
        "an identity of its own each time",
        breaks="test_has_one_identity",
        seen="its identity was '",
        changes=adds("""
            @property
            def identity(self):
                return str(uuid4())
        """),
        imports="from uuid import uuid4",
    ),
    Mutant(
        "subscriptions that are put one by one",
        breaks="test_puts_all_or_none",
        seen="it gave a, not none",
        changes=adds("""
            def put(self, subscriptions):
                for one in subscriptions:
                    super().put([one])
        """),
    ),
    Mutant(
        "another subscription than that of the id",
        breaks="test_finds_what_is_there_alone",
        seen="of an id that nobody has, it gave Subscription(",
        changes=adds("""
            def find(self, subscription_id):
                return next(self.subscriptions(), None)
        """),
    ),
    Mutant(
        "a disabled subscription that gets messages",
        breaks="test_leaves_out_the_disabled",
        seen="it gave a, not none",
        changes=adds("""
            def matching(self, audience):
                return (one for one in self.subscriptions() if one.wants(audience.event))
        """),
    ),
    Mutant(
        "the latest attempt alone",
        breaks="test_keeps_each_attempt",
        seen="it gave the numbers [4]",
        changes=adds("""
            def attempts(self, delivery_id):
                return super().attempts(delivery_id)[-1:]
        """),
    ),
    Mutant(
        "none that is taken for all",
        breaks="test_claims_no_more_than_is_asked_for",
        seen="asked for 2, 0, 2, 2, 2, it gave [2, 3, 0, 0, 0]",
        changes=adds("""
            def claim_due(self, now, limit, claim):
                return super().claim_due(now, limit or 100, claim)
        """),
    ),
    Mutant(
        "a line that stops at each failure",
        breaks="test_says_what_is_in_the_way",
        seen="behind one that is failed (status), others wait with stop in [False, True]",
        changes=adds("""
            def ahead_of(self, delivery_id, *, stop):
                return super().ahead_of(delivery_id, stop=True)
        """),
    ),
    Mutant(
        "a failing that is told again and again",
        breaks="test_has_a_failing_told_once",
        seen="asked twice, it said [True, True]",
        changes=adds("""
            def tell_failing(self, subscription_id):
                return self.failing_since(subscription_id) is not None
        """),
    ),
    Mutant(
        "one breaker for all ports of a host",
        breaks="test_keeps_breakers",
        seen="the breaker is None, not Breaker(",
        changes=adds("""
            def change_breaker(self, origin, change):
                return super().change_breaker(origin.rpartition(":")[0], change)
        """),
    ),
    Mutant(
        "states that are not looked at",
        breaks="test_prunes_states_that_are_named",
        seen="of what it has pruned of no state, delivered is 1, not 0",
        changes=adds("""
            def prune(self, before=None, keep=None, states=None):
                return super().prune(before, keep)
        """),
    ),
    Mutant(
        "counts that nobody asked for",
        breaks="test_gives_the_counts_that_are_wanted",
        seen="it gave 12 counts, not these 6",
        changes=adds("""
            def counts(self, wanted=None):
                return super().counts()
        """),
    ),
    Mutant(
        "a file of its own each time",
        breaks="test_keeps_what_was_written",
        seen="the subscription is None, not Subscription(",
        changes={"super().__init__(path)": 'super().__init__(path.with_name(f"{id(self)}.db"))'},
    ),
    # What it promises besides
    Mutant(
        "a file that others can read",
        breaks="test_a_file_that_others_can_read_is_refused",
        seen="DID NOT RAISE",
        changes={"if mode & forbidden:": "if False:"},
    ),
    Mutant(
        "a group that may never read",
        breaks="test_the_group_may_read_it_where_the_option_says_so",
        seen="chmod 600 it",
        changes={"ALL_BUT_THE_GROUP if group": "ALL_BUT_THE_OWNER if group"},
    ),
)
