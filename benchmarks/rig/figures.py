"""What a run of the benchmarks of sending has found, and what is told of it."""

import statistics
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final

from attrs import field, frozen

from rig.scenarios import IDEAL, Aim, Scenario
from rig.way import Cost

ENOUGH_IDLE: Final = 0.95
"""A receiver that is busy for a smaller share of the time has had to wait for the sender."""


@frozen(kw_only=True)
class Result:
    """One round of one way.

    Attributes:
        deliveries: How many there were.
        cost: What they cost the sender.
        receiver_cpu: How many seconds of CPU the receiver used for them.
        connections: How many connections were opened for them.
    """

    deliveries: int
    cost: Cost
    receiver_cpu: float
    connections: int

    @property
    def rate(self) -> float:
        """Deliveries per second."""
        return self.deliveries / self.cost.seconds

    @property
    def cpu(self) -> float:
        """Microseconds of CPU for a delivery."""
        return self.cost.cpu / self.deliveries * 1e6

    @property
    def busy(self) -> float:
        """The share of the time in which the sender used a CPU."""
        return self.cost.cpu / self.cost.seconds

    @property
    def receiver_busy(self) -> float:
        """The share of the time in which the receiver used a CPU."""
        return self.receiver_cpu / self.cost.seconds


@frozen(kw_only=True)
class Row:
    """What is told of a way: medians of its rounds.

    Attributes:
        name: The way's.
        rate: Deliveries per second.
        ratio: The rate, as a multiple of what the scenario compares with; None where that was not measured.
        cpu: Microseconds of CPU for a delivery.
        peak_mb: The most memory that its process had in use, in MB.
        busy: The share of the time in which the sender used a CPU.
        receiver_busy: The same of the receiver.
        spread: How far the slowest and the fastest round lie apart, as a share of the median.
        opened: How many connections were opened for a delivery.
    """

    name: str
    rate: float
    ratio: float | None
    cpu: float
    peak_mb: float
    busy: float
    receiver_busy: float
    spread: float
    opened: float


@frozen(kw_only=True)
class Found:
    """What was found in a scenario.

    Attributes:
        scenario: Which.
        subscribers: How many there were.
        results: The rounds of each way, by its name.
        missing: Why a way was left out, by its name.
    """

    scenario: Scenario
    subscribers: int
    results: Mapping[str, Sequence[Result]]
    missing: Mapping[str, str] = field(factory=dict)

    @property
    def compared_with(self) -> str:
        """What the table compares the rates with."""
        return IDEAL if self.scenario.ideal_in_flight else self.scenario.entries[0].name

    @property
    def ideal(self) -> float:
        """Deliveries per second, if nothing but the receiver took time."""
        assert self.scenario.receiving is not None
        turns = ceil(self.subscribers / self.scenario.ideal_in_flight)
        return self.subscribers / (turns * self.scenario.receiving.delay)

    def ratio(self, way: str, against: str) -> float | None:
        """Gives the median of the rounds' ratios of two rates, or None where one was not measured."""
        if way not in self.results or (against != IDEAL and against not in self.results):
            return None
        if against == IDEAL:
            return statistics.median(one.rate / self.ideal for one in self.results[way])
        pairs = zip(self.results[way], self.results[against], strict=True)
        return statistics.median(one.rate / other.rate for one, other in pairs)

    def cpu(self, way: str) -> float | None:
        """Gives the median of the microseconds of CPU for a delivery, or None where it was not measured."""
        return statistics.median(one.cpu for one in self.results[way]) if way in self.results else None

    def rows(self) -> list[Row]:
        """Gives a row for each way that was measured."""
        return [self._row(name, results) for name, results in self.results.items()]

    def _row(self, name: str, results: Sequence[Result]) -> Row:
        rates = [one.rate for one in results]
        return Row(
            name=name,
            rate=statistics.median(rates),
            ratio=self.ratio(name, self.compared_with),
            cpu=statistics.median(one.cpu for one in results),
            peak_mb=results[-1].cost.peak_mb,
            busy=statistics.median(one.busy for one in results),
            receiver_busy=statistics.median(one.receiver_busy for one in results),
            spread=(max(rates) - min(rates)) / statistics.median(rates),
            opened=sum(one.connections for one in results) / sum(one.deliveries for one in results),
        )


@frozen(kw_only=True)
class Verdict:
    """What came of an aim.

    Attributes:
        aim: Which.
        measured: The ratio, or the microseconds of CPU; None where a way was not measured.
    """

    aim: Aim
    measured: float | None

    @property
    def reached(self) -> bool:
        """Whether it was reached."""
        if self.measured is None:
            return False
        return self.measured >= self.aim.limit if self.aim.against else self.measured <= self.aim.limit


def verdicts(found: Sequence[Found], aims: Sequence[Aim]) -> list[Verdict]:
    """Gives what came of each aim whose scenario was measured."""
    by_key = {one.scenario.key: one for one in found}
    judged: list[Verdict] = []
    for aim in aims:
        if (scenario := by_key.get(aim.scenario)) is not None:
            against = aim.against
            measured = scenario.ratio(aim.way, against) if against else scenario.cpu(aim.way)
            judged.append(Verdict(aim=aim, measured=measured))
    return judged
