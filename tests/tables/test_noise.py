"""Student's t distribution, and intervals of differences, against SciPy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tables import contents, noise, pages
from tables.contents import ACC, Estimate, Row
from tests.made_up import filled, keep_all, row, table

import pytest
from scipy import stats

OURS, THEIRS = (0.91, 0.87, 0.9, 0.93), (0.9, 0.83, 0.85, 0.91)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 38, 199])
def test_chance_is_that_of_the_t_distribution(freedom: int) -> None:
    for errors in (0.0, 0.3, 1.0, 2.5, 8.0):
        expected = 2 * stats.t.sf(errors, freedom)
        assert noise.tail(errors, freedom) == pytest.approx(expected, abs=1e-12)
    assert noise.quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom))


def shown(interval: Iterable[float]) -> str:
    return " to ".join(f"{100 * end:+.2f}".replace("-", "−") for end in interval)


def test_note_has_intervals_of_differences(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "finetune.py", THEIRS)
    keep_all(tmp_path / "small", "sgd_freeze.py", OURS)
    rows = (
        row("finetune", "finetune.py"),
        row("sgd_freeze", "sgd_freeze.py"),
        Row("others", estimates={"ACC": Estimate.of(THEIRS[:3])}),
    )
    less = ("sgd_freeze", "finetune less sgd_freeze", "sgd_freeze less others")
    note = "; ".join(f"{{{rows}: interval}}" for rows in less)
    small = table(*rows, seeds=(0, 1, 2, 3), reference="finetune", note=note)
    paired, back, apart = pages.note(filled(tmp_path, small)).split("; ")
    assert paired == shown(stats.ttest_rel(OURS, THEIRS).confidence_interval())
    assert back == shown(stats.ttest_rel(THEIRS, OURS).confidence_interval())
    # Other people's are not paired; the degrees of freedom are rounded down.
    welch = stats.ttest_ind(OURS, THEIRS[:3], equal_var=False)
    difference = contents.difference(*[filled(tmp_path, small).rows[k] for k in (1, 2)], ACC)
    assert difference.freedom == int(welch.df)
    reach = stats.t.ppf(0.975, int(welch.df)) * difference.std
    assert apart == shown((difference.mean - reach, difference.mean + reach))


def test_page_says_how_many_differences_chance_alone_takes_beyond_the_noise(
    tmp_path: Path,
) -> None:
    scripts = {"finetune": OURS, "sgd_freeze": THEIRS, "sgd_single_head": (0.8, 0.79, 0.81)}
    for script, accuracies in scripts.items():
        keep_all(tmp_path / "small", f"{script}.py", accuracies)
    rows = [
        row(script, f"{script}.py", seeds=(0, 1, 2, 3)[: len(a)]) for script, a in scripts.items()
    ]
    more = "{sgd_freeze less finetune}, as in its cell; {sgd_single_head less sgd_freeze}."
    for note, freedoms in (("", (3, 2)), (more, (3, 2, 2))):
        small = table(*rows, seeds=(0, 1, 2, 3), reference="finetune", note=note)
        evaluated = filled(tmp_path, small)
        assert sorted(each.freedom for each in pages.differences(evaluated)) == sorted(freedoms)
        false = sum(2 * stats.t.sf(contents.NOISE_ERRORS, freedom) for freedom in freedoms)
        said = f"{len(freedoms)} differences. Were there none in truth, about {false:.1f} of them"
        assert said in pages.document({"small": evaluated})
