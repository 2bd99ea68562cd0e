"""Every table and figure of results/, and the runs that they need.

    python reproduce_tables.py                             the missing runs of results/, all tables
    python reproduce_tables.py fisher --results-dir mine   one from nothing, beside the published
    python reproduce_tables.py --table compare.py          one's own, with rows of the published
    python reproduce_tables.py --check                     is all that is generated up to date?

A row is a label and the command of a script. Rows of a table share its flags, as far as their
scripts have them. Where a command names several λ, one is chosen on the validation set, with seeds
that do not enter the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness import options
from tables import cli, contents, summaries
from tables.rows import RESULTS, equal_terms, importance, measures, other_terms, release, stored

ROOT = options.ROOT
DOCUMENTS = (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))
# In the order in which they are computed and shown.
TABLES = (
    equal_terms.EQUAL_SMALL,
    equal_terms.ABLATION,
    measures.MEASURES,
    other_terms.RATES,
    other_terms.FASHION_MNIST,
    equal_terms.FISHER,
    equal_terms.UPDATE,
    release.RELEASE_SHORT,
    release.RELEASE_PRUNING,
    importance.IMPORTANCE,
    equal_terms.STABILITY,
    equal_terms.LONG,
    equal_terms.EQUAL_LARGE,
    release.DEFECTS,
    release.RELEASED,
)


def blocks(evaluated: Mapping[str, contents.TableResults]) -> dict[str, str | None]:
    """Returns the texts of generated blocks that are no table of their own, by name; None: stays.

    Args:
        evaluated: all tables, by name.
    """
    return {
        **summaries.speed(stored("benchmark.json")),
        "speed beside Avalanche": summaries.avalanche(stored("avalanche.json")),
        "headline": equal_terms.headline(evaluated),
        "effects of defects": summaries.defects(evaluated["defects"]),
        "scripts": summaries.scripts(
            release.SCRIPTS, [evaluated["released"], evaluated["importance"]]
        ),
    }


def publication() -> cli.Publication:
    """Returns all that is published."""
    return cli.Publication(TABLES, RESULTS, DOCUMENTS, blocks)


def main() -> None:
    """Runs the command line."""
    cli.main(publication(), Path(__file__).stem, __doc__)


if __name__ == "__main__":
    main()
