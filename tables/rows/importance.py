"""The table of the study of how importance is distributed."""

from __future__ import annotations

import dataclasses
import importlib

from harness import distribution, style
from tables import contents
from tables.contents import Column, Estimate, Row, Table
from tables.rows import TEN
from tables.rows.release import RELEASE

ENTRIES = 52_320  # of the trunk


def statistic(kind: str, stage: str) -> Column:
    """Returns the column of a statistic of the importances, before or after pruning."""
    return Column(
        kind + (", pruned" if stage == "after" else ""),
        lambda result, measure: result["importance"][stage][measure][kind],
        100.0 if kind == "zeros" else 1.0,
    )


def importance_rows() -> tuple[Row, ...]:
    """Returns the authors', their release's and our statistics of each measure."""
    published = distribution.authors()
    measured = RELEASE["full"]["cal_importance_distribution"]
    rows = []
    for name in importlib.import_module("cal_importance_distribution").MEASURES:
        theirs = {
            statistic(kind, stage).title: Estimate(mean, std, distribution.AUTHORS_RUNS)
            for kind, measures in published.items()
            for stage, (mean, std) in zip(distribution.STAGES, measures[name], strict=True)
        }
        rows.append(Row("the authors", group=name, estimates=theirs))
        run_here = {
            statistic(kind, stage).title: Estimate.of(
                [value / ENTRIES if kind == "zeros" else value for value in values]
            )
            for stage in distribution.STAGES
            for kind, values in measured[name][stage].items()
        }
        rows.append(Row("the release, run by us", group=name, estimates=run_here, reference=""))
        command = "cal_importance_distribution.py"
        released = f"{command} --as-released"
        rows.append(Row("as released", released, name, reference="the authors"))
        rows.append(Row("default", command, name))
    return tuple(rows)


def importance_drawings(evaluated: contents.TableResults) -> list[style.Drawing]:
    """Returns the authors' figures as released, and those that one can read."""
    chosen = []
    for label, names in (
        ("as released", ("density", "kurtosis", "skewness")),
        ("default", ("histogram", "histogram_EWC", "histogram_MAS", "histogram_ANPyC", "path")),
    ):
        runs = evaluated.row("ANPyC", label).finished
        for drawing in distribution.drawings(runs, distribution.authors()) if runs else []:
            if drawing.name in names:
                name = f"{label.replace(' ', '-')}-{drawing.name}"
                title = f"{drawing.title}, {label}"
                chosen.append(dataclasses.replace(drawing, name=name, title=title))
    return chosen


IMPORTANCE = Table(
    name="importance",
    title="Distribution of importance",
    shows="Excess kurtosis and skewness (biased) of the importance of all 52,320 trunk entries "
    "after task 0, before and after pruning, and the share of exact zeros, in percent. The "
    "authors' values are those of their ten runs, the standard deviation with divisor n − 1 like "
    "ours; their release was run by us with three seeds. As released: with `--as-released`; "
    "default: the measures of EWC and MAS per image. In all, ANPyC's is clipped after the mean "
    "over the batches, as in the release; equation 1, which the methods use, clips every batch, "
    "and leaves far fewer zeros.",
    rows=importance_rows(),
    seeds=TEN,
    columns=tuple(
        statistic(kind, stage)
        for kind in ("kurtosis", "skewness", "zeros")
        for stage in distribution.STAGES
    ),
    epochs=False,
    drawings=(importance_drawings,),
    note="""
        As released all statistics agree with the authors' within the noise, but all six before
        pruning lie below theirs, ANPyC's kurtosis at half. So do all six of their release when we
        run it, and its shares of zeros before pruning, of which they do not report, are within half
        a point of those here. By default the importance of MAS is more skewed, because the release
        takes the absolute value of a batch's sum (D6), and that of EWC has fewer exact zeros,
        because the release takes one image of a batch (D4); its skewness differs by no more than
        the noise. Of the three, ANPyC's is by far the most skewed, and after pruning nearly all of
        it is 0. On the pruning path (last figure) the weights with importance 0 go first, at no
        cost: most of them belong to pixels that are always black. Then go those with the most
        negative one: accuracy drops by more than a point, and more than half of that comes back
        while training and pruning go on, until half of the weights are gone.
    """,
)
