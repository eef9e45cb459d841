"""Payloads of a wrong type."""

from attrs import frozen

from thornsdk import Thorn


@frozen
class OrderCreated:
    id: int


thorn = Thorn()
created = thorn.event("order.created", payload_type=OrderCreated)
created.send({"id": 42})  # error: "send" of "Event" has incompatible type
created.send(OrderCreated)  # error: expected "OrderCreated"
created.send()  # error: Missing positional argument "payload"
created.send(OrderCreated(42), "acme")  # error: Too many positional arguments
created.send(OrderCreated(42), sender=7)  # error: expected "str | None"
created.send(OrderCreated(42), transaction=7)  # error: "transaction" to "send" of "Event"
thorn.event("order.deleted", OrderCreated)  # error: No overload variant


async def in_a_loop() -> None:
    await created.asend("order 42")  # error: "asend" of "Event" has incompatible type
