from conftest import OpenThorn
from thornsdk.testing import Endpoint


def test_an_event_reaches_a_subscriber(endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(endpoint)
    thorn.subscribe("order.*", endpoint.url)
    receipt = thorn.event("order.created").send({"id": 42})
    assert receipt.outcomes.delivered == 1
    assert endpoint.seen[0].body == b'{"id":42}'
