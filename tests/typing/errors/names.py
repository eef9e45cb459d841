"""Names and settings that are not there."""

from thornsdk import DeliveryRecord, Settings, Thorn

Thorn(concurency=8)  # error: Unexpected keyword argument "concurency"
Thorn(concurrency="8")  # error: expected "int"
Thorn(store=None)  # error: expected "str"
Thorn("sqlite:///thorn.db")  # error: Too many positional arguments
Settings(concurency=8)  # error: Unexpected keyword argument "concurency"


def change(record: DeliveryRecord, thorn: Thorn) -> None:
    record.event = "order.deleted"  # error: read-only
    thorn.subscribe("order.*")  # error: Missing positional argument "url"
    thorn.subscribe("order.*", b"https://example.com")  # error: expected "str | URL"
    thorn.subscribe("order.*", "https://example.com", 7)  # error: Too many positional arguments
    thorn.unsubscribe("an id")  # error: expected "UUID"
    thorn.buffer(100)  # error: Too many positional arguments
    thorn.buffer(flush_every="100")  # error: expected "int | None"
    thorn.buffer().flush()  # error: has no attribute "flush"
