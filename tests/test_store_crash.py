"""The crash run of the store: a short form of it runs to its end, and nothing is lost."""

from support.benchmarks import printed_by


def test_nothing_is_lost_while_processes_are_killed() -> None:
    names, figures = printed_by("store_crash.py", "--events", "60", "--seconds", "4").splitlines()
    told = dict(zip(names.split(), figures.split(), strict=True))
    assert (told["lost"], told["missing"], told["database"]) == ("0", "0", "ok")
    assert int(told["killed"]) > 0
    assert int(told["deliveries"].replace(",", "")) >= 300
