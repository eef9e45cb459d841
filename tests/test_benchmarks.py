"""Benchmarks: a short form of each runs to its end and prints its table."""

import pytest

from support.benchmarks import printed_by


def row(printed: str, name: str) -> list[str]:
    (line,) = [line for line in printed.splitlines() if line.startswith(name + "  ")]
    return line.removeprefix(name).split()


def test_celery_speed_compares_chunk_sizes_with_a_task_per_delivery() -> None:
    pytest.importorskip("requests", reason="install the dependency group bench to test the naive way")
    printed = printed_by(
        "celery_speed.py", "--rounds", "1", "--deliveries", "30", "--concurrency", "1", "--chunk-sizes", "100"
    )
    _, fast, _, slow, _, cpu = row(printed, "a task per delivery")
    assert [float(one) for one in (fast, slow, cpu)] == [1.0, 1.0, 1.0]
    assert len(row(printed, "chunk size 100")) == 6
    assert "chunk size 100: times the naive rate" in printed


def test_claims_find_what_is_due_by_an_index() -> None:
    printed = printed_by("claims.py", "2000")
    assert "1,000 pending:" in printed
    assert "2,000 pending:" in printed
    assert printed.endswith("SEARCH deliveries USING COVERING INDEX deliveries_due (due_at<?)\n")


def test_a_dead_endpoint_wastes_few_attempts_and_the_others_get_everything() -> None:
    printed = printed_by("dead_endpoint.py", "20", "1")
    *_, ratio, wasted = row(printed, "all are well")
    assert (ratio, wasted) == ("1.00", "0")
    for kind in ("one refuses", "one never answers"):
        assert int(row(printed, kind)[-1]) >= 10


def test_celery_connections_opens_fewer_with_lanes() -> None:
    printed = printed_by(
        *(
            "celery_connections.py",
            "--rounds",
            "1",
            "--deliveries",
            "40",
            "--workers",
            "2",
            "--origins",
            "4",
            "--idle",
            "0",
        )
    )
    assert row(printed, "never                          2") == ["100"]  # Each origin has one worker.
    assert int(row(printed, "never                          none")[0]) >= 100
