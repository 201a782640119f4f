"""What was measured, as Markdown and as a picture, and which targets it meets."""

import json
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from statistics import median

import measure


@dataclass(frozen=True)
class Target:
    """A figure that has to hold: at least `wanted`, or at most."""

    what: str
    wanted: float
    measured: measure.Estimate
    is_least: bool = True

    @property
    def holds(self):
        return self.measured.median >= self.wanted if self.is_least else self.measured.median <= self.wanted

    @property
    def is_sure(self):
        """Whether the whole interval says the same."""
        low, high = self.measured.low, self.measured.high
        return self.wanted <= low or high < self.wanted if self.is_least else high <= self.wanted or self.wanted < low

    def told(self):
        """By how much it is missed, in words."""
        short = abs(self.measured.median / self.wanted - 1) * 100
        bound = "at least" if self.is_least else "at most"
        doubt = "" if self.is_sure else ", which the interval leaves open"
        return (
            f"{self.what}: {three(self.measured.median)}, not {bound} {three(self.wanted)} "
            f"({short:.1f} % {'short' if self.is_least else 'over'}{doubt})"
        )


class Report:
    """Sections of Markdown, targets, and what the picture is drawn of."""

    def __init__(self):
        self.lines, self.targets, self.samples, self.panels = [], [], {}, []

    def add(self, text):
        self.lines += [text, ""]

    def table(self, head, rows):
        """The first column is text, the others are figures."""
        rule = ["---", *["--:"] * (len(head) - 1)]
        self.add("\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)))

    def keep(self, where, samples):
        self.samples[where] = {name: asdict(of) for name, of in samples.items()}

    def panel(self, title, unit, bars):
        """A panel of the picture: (group, name, estimate) for each bar."""
        self.panels.append((title, unit, bars))

    def finish(self):
        """Adds the targets; gives those that are missed."""
        if self.targets:
            self.add("### Targets")
            head = ["what", "wanted", "measured", "95 % interval", "holds"]
            self.table(head, [target_row(target) for target in self.targets])
        return [target for target in self.targets if not target.holds]

    def write(self, directory):
        """`compare.md`, `compare.json` with each round's figures, and, where matplotlib is, `compare.svg`."""
        # None of an earlier comparison.
        (directory / "compare.svg").unlink(missing_ok=True)
        (directory / "compare.md").write_text("\n".join(self.lines))
        (directory / "compare.json").write_text(json.dumps(self.samples, indent=1))
        if self.panels and find_spec("matplotlib") is not None:
            draw(self.panels, directory / "compare.svg")


def target_row(target):
    bound = "at least" if target.is_least else "at most"
    measured = target.measured
    interval = f"{three(measured.low)} to {three(measured.high)}"
    return [
        target.what,
        f"{bound} {three(target.wanted)}",
        three(measured.median),
        interval,
        "yes" if target.holds else "**no**",
    ]


def draw(panels, path):
    """Bars with their intervals, a panel below the other; ratios go from 1 on, by their logarithm."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    # The same picture for the same figures.
    rcParams["svg.hashsalt"] = "compare"
    rcParams["svg.fonttype"] = "none"
    colours = {"ours": "#3b6ea5", "DuckDB": "#d98b2b", "polars": "#8c6bb1"}
    heights = [len(bars) for _, _, bars in panels]
    figure = Figure(figsize=(8, 0.28 * sum(heights) + 0.9 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), height_ratios=heights, squeeze=False)[:, 0]
    for axis, (title, unit, bars) in zip(axes, panels):
        is_ratio = unit.startswith("times")
        start = 1 if is_ratio else 0
        places = range(len(bars), 0, -1)
        for place, (_, name, of) in zip(places, bars):
            error = [[of.median - of.low], [of.high - of.median]]
            colour = colours.get(name.split(",")[0], "#8a8a8a")
            axis.barh(
                place, of.median - start, left=start, xerr=error, color=colour, ecolor="#333333", height=0.8
            )
            right = max(of.high, start)
            axis.annotate(three(of.median), (right, place), (4, 0), textcoords="offset points", va="center", size=8)
        axis.set_yticks(list(places), [f"{group}, {name}" if group else name for group, name, _ in bars], size=8)
        axis.set_title(title, size=10, loc="left")
        axis.set_xlabel(unit, size=8)
        axis.tick_params(axis="x", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.12)
        if is_ratio:
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.axvline(1, color="#333333", linewidth=1)
    figure.savefig(path, metadata={"Date": None})


def three(value):
    """With three digits that count."""
    digits = next((digits for least, digits in ((100, 0), (10, 1), (1, 2)) if abs(value) >= least), 3)
    return f"{value:,.{digits}f}"


def seconds(value):
    return f"{three(value)} s" if value >= 1 else f"{three(value * 1e3)} ms"


def times(of):
    """A ratio with its interval."""
    return f"{three(of.median)} ({three(of.low)} to {three(of.high)})"


def medians(samples):
    """Of a way's samples, both kinds of seconds."""
    return seconds(median(samples.seconds)), seconds(median(samples.processor))


def mebibytes(kib):
    return "" if kib is None else f"{kib / 1024:,.0f} MiB"
