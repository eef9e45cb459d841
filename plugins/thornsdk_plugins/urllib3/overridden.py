"""Makes sure that what is overridden is there: a method that was renamed would no longer be."""


def must_have(kind: type, *names: str) -> None:
    """Refuses to go on without a method that safety hangs on.

    Raises:
        ImportError: If the class has none of that name.
    """
    missing = [name for name in names if not hasattr(kind, name)]
    if missing:
        raise ImportError(
            f"{kind.__module__}.{kind.__qualname__} has no {missing[0]}: the transport 'urllib3' does not "
            f"know this version of {kind.__module__}"
        )
