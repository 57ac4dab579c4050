"""The table and the picture."""

import math

from tests.benchmarks.growth import exponents

HEADER = ("what", "ours", "peer", "ratio", "bar", "met", "turns", "against; note")

# The colour and the label of a row whose bar is met, is missed, or is none.
VERDICTS = {True: ("#1b7f5c", "bar met"), False: ("#c8442f", "bar missed"), None: ("#5b6b7a", "no bar")}


def cells(bar, result):
    """The cells of a row."""
    against = "; ".join(filter(None, [result.peer_name, result.note]))
    return (
        bar.name,
        quantity(result.ours, result.unit),
        quantity(result.peer, result.unit),
        f"{result.ratio:.3g}",
        "" if bar.limit is None else f"{bar.limit:g}",
        {True: "yes", False: "NO", None: ""}[met(bar, result)],
        str(result.turns),
        against,
    )


def met(bar, result):
    """Whether a bar is met; None where there is none."""
    return None if bar.limit is None else result.ratio <= bar.limit


def quantity(value, unit):
    """A number with its unit; seconds below one in milliseconds."""
    if math.isinf(value):
        return "never"
    if unit == "s" and value < 1:
        value, unit = 1000 * value, "ms"
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


def table(rows, header=HEADER):
    """Aligned columns; the first and the last to the left, the others to the right."""
    lines = [header, *rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]

    def aligned(line):
        inner = [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)]
        return "  ".join([line[0].ljust(widths[0]), *inner, line[-1]]).rstrip()

    rule = "  ".join("-" * width for width in widths[:-1]) + "  " + "-" * len(header[-1])
    return "\n".join([aligned(header), rule, *map(aligned, rows)])


def growth_table(lines):
    """The growth of an epoch's time: sizes, times, and the exponents between neighbours."""
    rows = [
        (
            what,
            optimizer,
            ", ".join(f"{size:,}" for size in sizes),
            ", ".join(f"{1000 * time:.3g}" for time in times),
            ", ".join(f"{p:.2f}" for p in exponents(sizes, times)),
        )
        for what, optimizer, sizes, times in lines
    ]
    return table(rows, ("growth with", "optimizer", "sizes", "ms an epoch", "exponents"))


def draw(results, path):
    """Draw each row's ratio on a logarithmic axis, with the line of equality and the bars.

    Parameters
    ----------
    results : list of (Bar, Result)
    path : str
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.27 * len(results)), layout="constrained")
    places = _places(results)
    axes.axvline(1, color="black", linewidth=1)
    for verdict, (colour, label) in VERDICTS.items():
        own = [(y, r) for y, (bar, r) in zip(places, results, strict=True) if met(bar, r) is verdict]
        _dots(axes, own, colour, label)
    limits = [(bar.limit, y) for y, (bar, _) in zip(places, results, strict=True) if bar.limit]
    if limits:
        style = {"color": "black", "markersize": 11, "markeredgewidth": 2, "label": "bar"}
        axes.plot(*zip(*limits, strict=True), "|", **style)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    labels = [f"{bar.name}  ·  {_short(result.peer_name)}" for bar, result in results]
    axes.set_yticks(places, labels, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(max(places) + 1, -1)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("ours / peer's (to the left: ours takes less)")
    figure.legend(loc="outside upper right", ncols=4, frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _dots(axes, own, colour, label):
    """Draw the rows of one colour, given as places and results; a goal that is not reached has no ratio."""
    reached = [(result.ratio, y) for y, result in own if math.isfinite(result.ratio)]
    if reached:
        x, y = zip(*reached, strict=True)
        axes.hlines(y, 1, x, color=colour, linewidth=1.5, alpha=0.5)
        axes.plot(x, y, "o", color=colour, markersize=6, label=label)
    for y, result in own:
        if math.isinf(result.ratio):
            axes.text(1.1, y, "× goal not reached", color=colour, va="center", fontsize=8)


def _places(results):
    """Positions of the rows from the top, with a gap before each group."""
    places, place = [], 0.0
    for k, (bar, _) in enumerate(results):
        place += 0.6 if k and bar.group != results[k - 1][0].group else 0.0
        places.append(place)
        place += 1.0
    return places


def _short(name, length=34):
    return name if len(name) <= length else name[: length - 1] + "…"
