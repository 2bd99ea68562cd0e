"""Tables that ask whether what `equal_terms` finds holds on other terms."""

from __future__ import annotations

from tables import drawings
from tables.contents import Row, Table, rows_of
from tables.rows import FIVE
from tables.rows.equal_terms import EWC, MAS, SI, SMALL, TUNING, WITH, WITHOUT

SI_HIGHER = f"{SI} 30 100"  # with a lower rate its best λ is higher


def rate_rows() -> tuple[Row, ...]:
    """Returns the rows of the methods, multi-head, with each learning rate."""
    rows: list[Row] = []
    for rate, si in (("0.1", SI), ("0.03", SI_HIGHER), ("0.01", SI_HIGHER)):
        commands = {
            "finetune": "finetune.py",
            "ewc, online": f"{EWC} --gamma 1",
            "mas": MAS,
            "si": si,
            "anpyc_wo_np, sum": f"{WITHOUT} --merge sum",
            "anpyc_wi_np": WITH,
        }
        flags = SMALL.replace("--learning-rate 0.1", f"--learning-rate {rate}")
        rows += rows_of(f"Learning rate {rate}", f"{flags} --head multi", commands)
    return tuple(rows)


RATES = Table(
    name="rates",
    title="Other learning rates",
    shows="The equal terms of the small network, multi-head, with lower learning rates than the "
    "0.1 of the other tables on these terms; λ chosen for each.",
    rows=rate_rows(),
    seeds=FIVE,
    tuning=TUNING,
    reference="anpyc_wo_np, sum",
    drawings=(drawings.means, drawings.strengths),
    note="""
        With a lower learning rate ANPyC does not win either: online EWC, MAS and SI end highest
        with each, with 0.03 within the noise. From ANPyC without pruning they are, with 0.1, at
        {Learning rate 0.1: ewc, online: difference}, {Learning rate 0.1: mas: difference} and
        {Learning rate 0.1: si: difference}; with 0.03 at {Learning rate 0.03: ewc, online:
        difference}, {Learning rate 0.03: mas: difference} and {Learning rate 0.03: si: difference};
        with 0.01 at {Learning rate 0.01: ewc, online: difference}, {Learning rate 0.01: mas:
        difference} and {Learning rate 0.01: si: difference}. Pruning changes ACC by {Learning rate
        0.1: anpyc_wi_np: difference}, {Learning rate 0.03: anpyc_wi_np: difference} and {Learning
        rate 0.01: anpyc_wi_np: difference}.

        The lower the rate, the less protection is worth: from 0.1 to 0.01 no protection ends
        higher, and every method with a penalty lower. λ has to be chosen anew for SI, {Learning
        rate 0.1: si: λ}, {Learning rate 0.03: si: λ} and {Learning rate 0.01: si: λ}; for online
        EWC and MAS, which measure importance at the end of a task, it stays.
    """,
)
