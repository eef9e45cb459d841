from collections.abc import Iterator

import pytest

from support.stages import CountingSerializer, make_dispatch, make_message, make_pipeline
from thornsdk import Bodies, Deliverer, Dispatch, Dispatcher, Receipt, Thorn
from thornsdk.errors import DispatchError, SerializationError
from thornsdk.testing import RecordingDispatcher, RecordingTransport
from thornsdk_plugins.disabled import DisabledDispatcher

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def deliverer() -> Iterator[Deliverer]:
    with Thorn(pipeline=make_pipeline([RecordingTransport()])) as thorn:
        yield thorn.deliverer


# Bodies


def test_a_body_is_written_when_it_is_first_asked_for_and_then_no_more() -> None:
    json, form = CountingSerializer(JSON), CountingSerializer(FORM)
    bodies = Bodies({JSON: json, FORM: form}, make_message())
    assert [bodies.in_type(JSON) for _ in range(3)] == [b"42"] * 3
    assert (json.count, form.count) == (1, 0)


def test_all_bodies_are_those_of_all_serializers_and_then_written_no_more() -> None:
    json, form = CountingSerializer(JSON), CountingSerializer(FORM)
    bodies = Bodies({JSON: json, FORM: form}, make_message())
    bodies.in_type(JSON)
    assert bodies.in_all_types() == bodies.in_all_types() == {JSON: b"42", FORM: b"42"}
    assert (json.count, form.count) == (1, 1)


def test_a_body_that_cannot_be_written_is_tried_once_and_harms_no_other() -> None:
    problem = SerializationError("$.id", "it is too long")
    form = CountingSerializer(FORM, problem)
    bodies = Bodies({JSON: CountingSerializer(JSON), FORM: form}, make_message())
    assert bodies.in_all_types() == bodies.in_all_types() == {JSON: b"42", FORM: problem}
    assert form.count == 1


def test_a_serializer_that_raises_something_else_is_told_with_its_cause() -> None:
    cause = LookupError("told nowhere")
    problem = Bodies({JSON: CountingSerializer(JSON, cause)}, make_message()).in_type(JSON)
    assert isinstance(problem, SerializationError)
    assert problem.problem.startswith("the serializer raised LookupError at stages.py:")
    assert "told nowhere" not in str(problem)
    assert problem.__cause__ is cause


def test_a_content_type_that_no_serializer_writes_is_a_problem_of_that_type() -> None:
    bodies = Bodies({JSON: CountingSerializer(JSON)}, make_message())
    problem = bodies.in_type("text/csv")
    assert isinstance(problem, SerializationError)
    assert problem.problem == "no serializer writes text/csv"


def test_bodies_that_were_written_before_are_given_as_they_are() -> None:
    problem = SerializationError("$.id", "it is too long")
    bodies = Bodies.written({JSON: b"42", FORM: problem})
    assert bodies.in_all_types() == {JSON: b"42", FORM: problem}
    assert (bodies.in_type(JSON), bodies.in_type(FORM)) == (b"42", problem)


def test_of_bodies_that_were_written_before_there_are_no_others() -> None:
    problem = Bodies.written({JSON: b"42"}).in_type(FORM)
    assert isinstance(problem, SerializationError)
    assert problem.problem == f"no serializer writes {FORM}"


def test_a_dispatch_shows_no_body() -> None:
    assert "Bodies" not in repr(make_dispatch("hidden"))


# Dispatchers


def test_a_dispatcher_that_says_nothing_else_takes_several_messages_in_turn(deliverer: Deliverer) -> None:
    dispatcher = RecordingDispatcher()
    dispatches = [make_dispatch(number) for number in range(3)]
    receipts = list(dispatcher.dispatch_many(dispatches, deliverer))
    assert dispatcher.taken == dispatches
    assert [one.message_id for one in receipts] == [one.message.id for one in dispatches]


def test_each_receipt_comes_when_its_message_was_taken(deliverer: Deliverer) -> None:
    dispatcher = RecordingDispatcher()
    receipts = dispatcher.dispatch_many([make_dispatch(number) for number in range(3)], deliverer)
    counts = [len(dispatcher.taken) for _ in receipts]
    assert counts == [1, 2, 3]


def test_a_message_that_cannot_be_taken_ends_the_turn(deliverer: Deliverer) -> None:
    dispatcher = RecordingDispatcher(room=2)
    receipts: list[Receipt] = []
    with pytest.raises(DispatchError, match="there is no room"):
        receipts.extend(dispatcher.dispatch_many([make_dispatch(number) for number in range(4)], deliverer))
    assert dispatcher.bodies == [b"0", b"1"]
    assert len(receipts) == 2


class Structural:
    """Inherits from nothing, and is a dispatcher all the same."""

    name = "structural"

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return DisabledDispatcher().dispatch(dispatch, deliverer)

    def dispatch_many(self, dispatches: list[Dispatch], deliverer: Deliverer) -> Iterator[Receipt]:
        return (self.dispatch(one, deliverer) for one in dispatches)

    def close(self) -> None:
        pass


def test_a_dispatcher_needs_no_base_class() -> None:
    assert isinstance(Structural(), Dispatcher)


class Forgetful(Dispatcher):
    """Gives no receipt."""

    @property
    def name(self) -> str:
        return "forgetful"

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return None  # type: ignore[return-value]  # on purpose


def test_a_dispatcher_that_gives_no_receipt_is_told() -> None:
    pipeline = make_pipeline([RecordingTransport()], dispatcher=Forgetful())
    with Thorn(pipeline=pipeline) as thorn, pytest.raises(DispatchError) as caught:
        thorn.event("order.created").send(42)
    assert str(caught.value) == (
        "the dispatcher 'forgetful' could not take the message: it gave a NoneType in place of a Receipt"
    )
