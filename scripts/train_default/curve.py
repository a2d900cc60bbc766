"""The curve as text."""

from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 60, 12
_MARKS = "ox+*#@"
_Points = Sequence[tuple[float, float]]


def text_curve(series: Mapping[str, _Points]) -> list[str]:
    """Lines of a plot: values against hours, a mark for each series; [] without points."""
    points = [point for one in series.values() for point in one]
    if not points:
        return []
    right = max(max(x for x, _ in points), 1e-6)
    top = max(max(y for _, y in points), 1e-3)
    grid = [[" "] * _WIDTH for _ in range(_HEIGHT)]
    for mark, one in zip(_MARKS, series.values(), strict=False):
        for x, y in one:
            column = round(x / right * (_WIDTH - 1))
            row = round((1.0 - max(y, 0.0) / top) * (_HEIGHT - 1))
            grid[row][column] = mark
    lines = []
    for number, row_marks in enumerate(grid):
        value = top * (1.0 - number / (_HEIGHT - 1))
        label = f"{value:6.3f}" if number % 4 == 0 or number == _HEIGHT - 1 else " " * 6
        lines.append(f"{label} |{''.join(row_marks)}".rstrip())
    lines.append(" " * 7 + "+" + "-" * _WIDTH)
    lines.append(f"{'0':>9}{right:>{_WIDTH - 3}.2f} h")
    named = zip(_MARKS, series.items(), strict=False)
    lines += [f"{mark:>8} {name}, {_said(one)}" for mark, (name, one) in named]
    return lines


def _said(one: _Points) -> str:
    if not one:
        return "not evaluated yet"
    best = max(one, key=lambda point: point[1])
    return f"last {one[-1][1]:.4f}, best {best[1]:.4f} at {best[0]:.2f} h"
