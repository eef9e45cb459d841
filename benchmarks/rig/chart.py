"""Draws what was found in sending, as an SVG that can be read on light and on dark pages."""

from collections.abc import Iterator, Sequence
from math import floor, log10
from typing import Final
from xml.sax.saxutils import escape

from attrs import frozen

from rig.figures import Found
from rig.scenarios import IDEAL

_WIDTH: Final = 760
_LEFT: Final = 240
_RIGHT: Final = 90
_LINE: Final = 26
_BAR: Final = 16
_TOP: Final = 66
_GAP: Final = 44

# The picture brings its own background, for it follows the reader's system, and the page may not.
_STYLE: Final = """
  .page { fill: #ffffff } .text { fill: #1f2328 } .quiet { fill: #59636e } .grid { stroke: #d1d9e0 }
  .other { fill: #9aa4ae } .own { fill: #0969da }
  .ideal { fill: none; stroke: #9aa4ae; stroke-dasharray: 4 3 } text { font: 13px system-ui, sans-serif }
  .title { font-weight: 600 } .small { font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .page { fill: #15191e } .text { fill: #e6edf3 } .quiet { fill: #9aa4ae } .grid { stroke: #333b44 }
    .other { fill: #66707b } .own { fill: #4493f8 }
    .ideal { stroke: #66707b }
  }
"""


def chart(found: Sequence[Found]) -> str:
    """Draws a bar for the deliveries per second of each way: a group for each scenario that sends.

    The scale is logarithmic, for the fastest way is some thousand times as fast as the slowest.
    """
    groups = [(one.scenario.title, _bars(one)) for one in found if one.scenario.receiving is not None]
    rates = [bar.rate for _, bars in groups for bar in bars] or [1.0]
    drawing = _Drawing(min(rates), max(rates))
    lines: list[str] = []
    top = _TOP
    for title, bars in groups:
        lines += drawing.group(title, bars, top)
        top += _GAP + _LINE * len(bars)
    return "\n".join((*_frame(top), *drawing.head(top - _GAP // 2), *lines, "</svg>", ""))


@frozen
class _Bar:
    name: str
    rate: float
    kind: str


def _bars(found: Found) -> list[_Bar]:
    own = {entry.name for entry in found.scenario.entries if entry.own}
    bars = [_Bar(row.name, row.rate, "own" if row.name in own else "other") for row in found.rows()]
    if found.scenario.ideal_in_flight:
        bars.append(_Bar(IDEAL, found.ideal, "ideal"))
    return sorted(bars, key=lambda bar: bar.rate)


def _frame(height: int) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" role="img" aria-label="Deliveries per second of each way to send">'
    )
    yield f"<style>{_STYLE}</style>"
    yield f'<rect class="page" width="{_WIDTH}" height="{height}" rx="6"/>'


def _text(x: float, y: float, kind: str, text: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


class _Drawing:
    """Where things stand on a logarithmic scale.

    Args:
        lowest: The lowest rate.
        highest: The highest rate: the right end. The left end is a power of ten.
    """

    def __init__(self, lowest: float, highest: float) -> None:
        self._lowest = floor(log10(lowest))
        self._highest = max(log10(highest), self._lowest + 1)

    def head(self, bottom: int) -> Iterator[str]:
        """Draws the scale, down to a height."""
        yield '<text class="text title" x="16" y="26">Deliveries per second</text>'
        yield _text(
            _WIDTH - 16, 26, "quiet", "more is better; each line is ten times the one before it", "end"
        )
        for power in range(self._lowest, floor(self._highest) + 1):
            x = self._x(10.0**power)
            yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 10}" y2="{bottom}"/>'
            yield _text(x, _TOP - 16, "quiet small", f"{10**power:,}", "middle")

    def group(self, title: str, bars: Sequence[_Bar], top: int) -> Iterator[str]:
        """Draws the bars of a scenario."""
        # The title stands on the lines of the scale; it must be readable all the same.
        yield f'<rect class="page" x="8" y="{top - 2}" width="{_WIDTH - 16}" height="20"/>'
        yield _text(16, top + 13, "text title", title)
        for number, bar in enumerate(bars, start=1):
            y = top + _LINE * number
            width = self._x(bar.rate) - _LEFT
            yield _text(_LEFT - 10, y + 13, "text", bar.name, "end")
            yield f'<rect class="{bar.kind}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
            yield _text(self._x(bar.rate) + 7, y + 13, "text", f"{float(f'{bar.rate:.3g}'):,.0f}")

    def _x(self, rate: float) -> float:
        share = (log10(rate) - self._lowest) / (self._highest - self._lowest)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)
