"""What an application declares, for those who send and for its workers."""

from thornsdk import URL, Event, Thorn

EVENT = "cart.emptied"


def known_customer(url: URL) -> None:
    """A recipient validator: it travels to no worker, which must have the code."""
    if "stranger" in url.target:
        raise ValueError("nobody knows that one")


def declare(thorn: Thorn, url: str) -> Event[object]:
    """Declares an event with a static subscriber and a recipient validator."""
    return thorn.event(
        EVENT, subscribers={"url": url, "secret": "a secret"}, recipient_validators=[known_customer]
    )
