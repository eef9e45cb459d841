"""What was found in sending, as text for a terminal and as Markdown."""

import os
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from rig.figures import ENOUGH_IDLE, Found, Row, Verdict
from rig.scenarios import LOOP, Aim

_PACKAGES: Final = ("urllib3", "pycurl", "requests", "httpx", "aiohttp")
_SAID: Final = {"turn": "in turn", "many": "many", "slow": "50 ms", "https": "HTTPS", "pipeline": "pipeline"}


def machine() -> dict[str, str]:
    """Gives what the figures depend on: processor, system, Python and packages."""
    found = {"processor": _processor(), "system": f"{platform.system()} {platform.release()}"}
    found["Python"] = platform.python_version()
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def text(found: Sequence[Found], judged: Sequence[Verdict]) -> str:
    """Writes tables for a terminal."""
    return "\n".join((*_text_tables(found), *_text_aims(judged), "", *_told(found)))


def markdown(found: Sequence[Found], judged: Sequence[Verdict]) -> str:
    """Writes tables for the docs."""
    return "\n".join((*_markdown_aims(judged), *_markdown_tables(found), *_told(found), ""))


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{os.cpu_count()} CPUs, {next(names, platform.machine())}"


def _text_tables(found: Sequence[Found]) -> Iterator[str]:
    for one in found:
        yield one.scenario.title
        yield (
            f"{'':<29}{'per s':>8}{'ratio':>8}{'spread':>8}{'CPU µs':>8}{'MB':>5}{'opened':>8}{'recv.':>6}"
        )
        for row in one.rows():
            yield (
                f"{row.name:<29}{row.rate:8,.0f}{_ratio(row):>8}{row.spread:8.0%}{row.cpu:8,.0f}"
                f"{row.peak_mb:5.0f}{row.opened:8.2g}{_busy(one, row):>6}"
            )
        for name, why in one.missing.items():
            yield f"{name:<29} not measured: {why}"
        yield f"(ratio: to {one.compared_with})\n"


def _text_aims(judged: Sequence[Verdict]) -> Iterator[str]:
    yield f"{'aim':<49}{'to reach':>9}{'measured':>10}"
    for one in judged:
        yield f"{name_of(one.aim):<49}{_limit(one.aim):>9}{_measured(one):>10}  {_reached(one)}"


def _markdown_aims(judged: Sequence[Verdict]) -> Iterator[str]:
    yield "| aim | to reach | measured | |"
    yield "|---|--:|--:|---|"
    for one in judged:
        yield f"| {name_of(one.aim)} | {_limit(one.aim)} | {_measured(one)} | {_reached(one)} |"
    yield ""


def _markdown_tables(found: Sequence[Found]) -> Iterator[str]:
    for one in found:
        yield f"**{one.scenario.title}**\n"
        yield "| | per second | ratio | spread | CPU µs | peak MB | opened | receiver |"
        yield "|---|--:|--:|--:|--:|--:|--:|--:|"
        for row in one.rows():
            yield (
                f"| {row.name} | {row.rate:,.0f} | {_ratio(row)} | {row.spread:.0%} | {row.cpu:,.0f} "
                f"| {row.peak_mb:.0f} | {row.opened:.2g} | {_busy(one, row)} |"
            )
        for name in one.missing:
            yield f"| {name} | not measured | | | | | | |"
        yield f"\nThe ratio is to: {one.compared_with}.\n"


def _told(found: Sequence[Found]) -> Iterator[str]:
    yield "Measured on " + ", ".join(
        value if name in {"processor", "system"} else f"{name} {value}" for name, value in machine().items()
    )
    yield ""
    yield from (_limiting(row) for one in found for row in one.rows() if row.name == LOOP)


def _limiting(row: Row) -> str:
    """Says how it is known that the receiver does not hold up the fastest way."""
    verdict = "waited for it" if row.receiver_busy < ENOUGH_IDLE else "may have held it up"
    return (
        f"At the fastest way ({row.name}), the sender used {row.busy:.0%} of a CPU and the receiver "
        f"{row.receiver_busy:.0%}: the receiver {verdict}."
    )


def _ratio(row: Row) -> str:
    return "-" if row.ratio is None else f"{row.ratio:.2f}"


def _busy(found: Found, row: Row) -> str:
    return f"{row.receiver_busy:.0%}" if found.scenario.receiving is not None else ""


def name_of(aim: Aim) -> str:
    """Gives what the tables call an aim."""
    if not aim.against:
        return f"{_SAID[aim.scenario]}: CPU for a delivery"
    return f"{_SAID[aim.scenario]}: {aim.way} / {aim.against}"


def _limit(aim: Aim) -> str:
    return f"≥ {aim.limit:g}" if aim.against else f"≤ {aim.limit:g} µs"


def _measured(one: Verdict) -> str:
    if one.measured is None:
        return "-"
    return f"{one.measured:.2f}" if one.aim.against else f"{one.measured:.1f} µs"


def _reached(one: Verdict) -> str:
    if one.measured is None:
        return "not measured"
    return "reached" if one.reached else "not reached"
