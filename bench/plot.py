"""The two pictures of docs/performance.md: how soon a message is with everybody, and how many there can be.

Grey for text and lines and a transparent ground, so that they read on light and dark pages alike.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Picture

from bench.report import number
from bench.results import Figure, Results, Stat
from bench.servers import COMPETITORS

INK = "#7d8590"  # on white and on black
OURS, THEIRS, LIMIT = "#2f81f7", "#8b949e", "#3fb950"
STYLE: Any = {
    "font.size": 11,
    "font.family": "sans-serif",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "parlor",  # the same figures make the same file
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
WIDTH, ROW = 8.0, 0.34  # inches


def draw(results: Results, folder: Path) -> None:
    """Write the pictures for which there are figures to `folder`."""
    with mpl.rc_context(STYLE):
        broadcasts = [
            ("one message to 1,000 browsers", "broadcast", "median"),
            ("the same, compression offered", "broadcast-deflate", "median"),
        ]
        _draw(results, broadcasts, "ms until the last one has it", folder / "performance-broadcast.svg")
        sustained = [("1,000 browsers, 99 % of deliveries within 100 ms", "sustained", "rate")]
        _draw(results, sustained, "messages per second", folder / "performance-sustained.svg")


def _draw(results: Results, panels: Sequence[tuple[str, str, str]], label: str, path: Path) -> None:
    found = [(title, bars(results, case, name)) for title, case, name in panels]
    found = [(title, rows) for title, rows in found if rows]
    if not found:
        return
    heights = [len(rows) for _, rows in found]
    picture = Picture(figsize=(WIDTH, ROW * sum(heights) + 0.8 * len(heights)), layout="constrained")
    axes = picture.subplots(len(found), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axis, (title, rows) in zip(axes, found, strict=True):
        _bars(axis, title, rows)
    axes[-1].set_xlabel(label)
    picture.savefig(path, transparent=True, metadata={"Date": None})


def bars(results: Results, case: str, name: str) -> list[tuple[str, Stat]]:
    """Return the competitors of `case` that have the figure `name`, and what it is, the least one first."""
    stats = ((server, results.stat(Figure(case, server, name))) for server in results.cases.get(case, {}))
    return sorted(((server, stat) for server, stat in stats if stat), key=lambda bar: bar[1].median)


def _bars(axis: Any, title: str, rows: Sequence[tuple[str, Stat]]) -> None:
    medians = [stat.median for _, stat in rows]
    errors = [
        [stat.median - stat.least for _, stat in rows],
        [stat.most - stat.median for _, stat in rows],
    ]
    drawn = axis.barh(
        [COMPETITORS[server].title for server, _ in rows],
        medians,
        xerr=errors,
        ecolor=INK,
        color=[_colour(server) for server, _ in rows],
        height=0.7,
    )
    axis.bar_label(drawn, [number(median) for median in medians], padding=6)
    axis.set_title(title, loc="left", fontsize=11)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.spines[["top", "right"]].set_visible(False)


def _colour(server: str) -> str:
    return {"parlor": OURS, "limit": LIMIT}.get(server, THEIRS)
