"""Tables that ask whether what `equal_terms` and `measures` find holds on other terms."""

from __future__ import annotations

import dataclasses

from tables import drawings
from tables.contents import Row, Table, rows_of
from tables.rows import FIVE, measures
from tables.rows.equal_terms import (
    LWF_COARSE,
    MAS,
    MULTI,
    ONLINE,
    ONLINE_LOWER,
    SEQUENCE,
    SI,
    SINGLE,
    SMALL,
    TUNING,
    WITH,
    WITHOUT,
    multi_head,
    single_head,
)

FASHION = f"{SMALL} --data-dir data/fashion-mnist"
FASHION_CHECKSUM = "14410854cf7a289477dcfc7df3f8ec24741e281cdcc425ede0d9a748ca630214"
D2 = "anpyc_wo_np, sum, Ω by d²"
SI_HIGHER = f"{SI} 30 100"  # with a lower rate its best λ is higher


def rate_rows() -> tuple[Row, ...]:
    """Returns the rows of the methods, multi-head, with each learning rate."""
    rows: list[Row] = []
    for rate, si in (("0.1", SI), ("0.03", SI_HIGHER), ("0.01", SI_HIGHER)):
        commands = {
            "finetune": "finetune.py",
            "ewc, online": ONLINE,
            "mas": MAS,
            "si": si,
            "anpyc_wo_np, sum": f"{WITHOUT} --merge sum",
            "anpyc_wi_np": WITH,
        }
        flags = SMALL.replace("--learning-rate 0.1", f"--learning-rate {rate}")
        rows += rows_of(f"Learning rate {rate}", f"{flags} --head multi", commands)
    return tuple(rows)


def fashion_rows() -> tuple[Row, ...]:
    """Returns the rows of `equal-small` on Fashion-MNIST, and ANPyC with d² for Ω."""
    rows = (
        *multi_head(FASHION, 15, LWF_COARSE, others={"anpyc_wi_np": f"{WITH} 100 300"}),
        *rows_of(MULTI, measures.with_head(FASHION, MULTI), {D2: measures.command("square", 0)}),
        *single_head(FASHION, 15, others={"ewc, online": ONLINE_LOWER}),
        *rows_of(SINGLE, measures.with_head(FASHION, SINGLE), {D2: measures.command("square", 1)}),
    )
    return tuple(dataclasses.replace(row, checksum=FASHION_CHECKSUM) for row in rows)


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

FASHION_MNIST = Table(
    name="fashion",
    title="Other data: Fashion-MNIST",
    shows="The equal terms of the small network on permuted Fashion-MNIST "
    "([the data](../data/README.md#other-data) are not in the repository).",
    rows=fashion_rows(),
    seeds=FIVE,
    tuning=TUNING,
    reference="anpyc_wo_np",
    drawings=SEQUENCE,
    note="""
        With a single head ANPyC ends below online EWC and SI here, too; multi-head nothing tells
        ANPyC with pruning from the best of the others. Single-head online EWC is at {Single-head:
        ewc, online: difference} from ANPyC without pruning and SI at {Single-head: si: difference};
        MAS is level with it ({Single-head: mas: difference}), ANPyC with pruning below
        ({Single-head: anpyc_wi_np: difference}). Multi-head EWC, the highest, is {Multi-head: ewc
        less Multi-head: anpyc_wi_np} from ANPyC with pruning and {Multi-head: ewc: difference} from
        that without.

        Multi-head validation chooses a higher λ than on MNIST for five of the methods, and the
        price is what is learned: of a task just learned EWC knows {Multi-head: ewc: LA}, ANPyC with
        pruning {Multi-head: anpyc_wi_np: LA}, `finetune` {Multi-head: finetune: LA}. A frozen
        trunk, which forgets nothing, ends {Multi-head: sgd_freeze less Multi-head: ewc} points from
        EWC.

        d² for Ω, chosen on MNIST (table `measures`), gains over the released Ω here as well:
        {Single-head: anpyc_wo_np, sum, Ω by d² less Single-head: anpyc_wo_np, sum} single-head and
        {Multi-head: anpyc_wo_np, sum, Ω by d² less Multi-head: anpyc_wo_np, sum} multi-head, which
        is at the limit of the noise. With it ANPyC ends {Single-head: anpyc_wo_np, sum, Ω by d²
        less Single-head: ewc, online} from online EWC and {Single-head: anpyc_wo_np, sum, Ω by d²
        less Single-head: si} from SI single-head, {Multi-head: anpyc_wo_np, sum, Ω by d² less
        Multi-head: ewc, online} and {Multi-head: anpyc_wo_np, sum, Ω by d² less Multi-head: si}
        multi-head.

        No gain from pruning shows: against the sum with as many epochs it is at {Multi-head:
        anpyc_wi_np less Multi-head: anpyc_wo_np, sum, 15 epochs} multi-head and {Single-head:
        anpyc_wi_np less Single-head: anpyc_wo_np, sum, 15 epochs} single-head. Without pruning the
        longer training gains nothing either; multi-head both rows of fifteen epochs end, with seed
        0, more than ten points below every other seed, hence their spread. The other methods were
        not given more epochs here.

        For LwF validation chooses λ 0, which is fine-tuning; at λ 1 it ends {Multi-head: lwf, λ 1
        less Multi-head: finetune} from that. With a single head EWC with an anchor for each task
        loses all but the first few tasks and the newest (figure of the final accuracies).
    """,
)
