"""Tables on equal terms: every method with the same network, heads and training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from harness import results
from tables import contents, drawings, pages
from tables.contents import ACC, Column, Row, Table, metric, rows_of
from tables.rows import FIVE, TEN, THREE

TRAINING = (
    "--epochs 10 --batch-size 256 --learning-rate 0.1 --lr-decay 0.9 --lr-decay-epochs 10 "
    "--init truncated-normal --permutations per-seed --retrain-epochs 2"
)
SMALL = f"--hidden 64 32 --dropout 0 {TRAINING}"
LARGE = f"--hidden 512 256 --dropout 0.5 --dropout-layers both {TRAINING}"

# Grids of λ, and wider ones, of rows whose best λ lay at the end of these.
EWC = "ewc.py --lambda 3 10 30 100 300"
EWC_LOWER = "ewc.py --lambda 0.3 1 3 10 30 100 300"
ONLINE, ONLINE_LOWER = f"{EWC} --gamma 1", f"{EWC_LOWER} --gamma 1"
MAS = "mas.py --lambda 1 3 10 30 100"
SI = "si.py --lambda 0.1 0.3 1 3 10"
SI_LOWER = "si.py --lambda 0.01 0.03 0.1 0.3 1 3 10"
# From fine-tuning, which λ 0 is: the accuracy over λ has two maxima.
LWF = "lwf.py --lambda 0 0.0001 0.0003 0.001 0.003 0.01 0.03 0.1 0.3 1 3 10"
LWF_1 = {"lwf, λ 1": "lwf.py --lambda 1"}
LWF_COARSE = {"lwf": "lwf.py --lambda 0 0.01 0.03 0.1 0.3 1 3 10", **LWF_1}
WITHOUT = "anpyc_wo_np.py --lambda 0.3 1 3 10 30"
WITH = "anpyc_wi_np.py --lambda 0.3 1 3 10 30"

MULTI, SINGLE = "Multi-head", "Single-head"


def with_penalty(
    epochs: int, others: Mapping[str, str] | None = None, longer: Sequence[str] = ()
) -> dict[str, str]:
    """Returns the commands of the methods that have either kind of head, by label.

    Args:
        epochs: of a task without pruning, as many in all as with it.
        others: commands with other grids than the usual ones, by label.
        longer: labels of methods other than ANPyC that have a row with these epochs, too.
    """
    usual = {"ewc": EWC, "ewc, online": ONLINE, "mas": MAS, "si": SI, "anpyc_wi_np": WITH}
    commands = {**usual, **(others or {})}
    pruned = commands.pop("anpyc_wi_np")
    return {
        **commands,
        **{f"{label}, {epochs} epochs": f"{commands[label]} --epochs {epochs}" for label in longer},
        "anpyc_wo_np": WITHOUT,
        f"anpyc_wo_np, {epochs} epochs": f"{WITHOUT} --epochs {epochs}",
        "anpyc_wo_np, sum": f"{WITHOUT} --merge sum",
        f"anpyc_wo_np, sum, {epochs} epochs": f"{WITHOUT} --merge sum --epochs {epochs}",
        "anpyc_wi_np": pruned,
    }


def multi_head(flags: str, epochs: int, lwf: Mapping[str, str], **more: Any) -> tuple[Row, ...]:
    """Returns the rows of methods with a head for each task.

    Args:
        flags: of all rows.
        epochs: as for `with_penalty`.
        lwf: commands of LwF, by label.
        **more: as for `with_penalty`.
    """
    commands = {
        "finetune": "finetune.py",
        "sgd_freeze": "sgd_freeze.py",
        **lwf,
        **with_penalty(epochs, **more),
        "joint": "joint.py",
    }
    return rows_of(MULTI, f"{flags} --head multi", commands)


def single_head(flags: str, epochs: int, **more: Any) -> tuple[Row, ...]:
    """Returns the rows of methods with a single head; arguments as for `multi_head`."""
    commands = {
        "sgd_single_head": "sgd_single_head.py",
        **with_penalty(epochs, **more),
        "joint": "joint.py --head shared",
    }
    return rows_of(SINGLE, f"{flags} --head single", commands)


LONGER = ("ewc, online", "mas", "si")  # the best of the others, trained as long as with pruning
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)


def update_rows() -> tuple[Row, ...]:
    """Returns a row for every method and form of the step; all λ are in it."""
    grid = " ".join(map(results.number, STRENGTHS))
    rows: list[Row] = []
    for script in ("ewc", "mas", "si", "anpyc_wo_np", "anpyc_wi_np"):
        commands = {
            update: f"{script}.py --update {update} --lambda {grid}"
            for update in ("proximal", "explicit")
        }
        rows += rows_of(script, f"{SMALL} --head multi", commands)
    return tuple(rows)


def of_strength(strength: float) -> Column:
    """Returns the column of ACC at a λ."""
    return Column(f"λ {results.number(strength)}", ACC.value, strength=strength)


def lowest(result: results.Result, _: str) -> float:
    """Returns the lowest value of `drawings.changes_within`."""
    return min(drawings.changes_within(result["trace"]).values())


def first_epoch(result: results.Result, _: str) -> float:
    """Returns the last value of `drawings.changes_within`, at the end of the epoch."""
    return [*drawings.changes_within(result["trace"]).values()][-1]


def rest(result: results.Result, group: str) -> float:
    """Returns how the accuracy on earlier tasks changes after a task's first epoch.

    As `drawings.changes_within`, but from the end of that epoch to the end of the task.
    """
    last = {reading["task"]: reading["accuracy"] for reading in result["trace"]}
    whole = [
        (sum(last[task][:task]) - sum(last[task - 1][:task])) / task for task in range(1, len(last))
    ]
    return sum(whole) / len(whole) - first_epoch(result, group)


def stability_rows() -> tuple[Row, ...]:
    """Returns the rows of `equal-small` whose accuracy is read in the course of training."""
    labels = ("finetune", "ewc", "mas", "si", "anpyc_wo_np", "anpyc_wi_np")
    flags = f"{SMALL} --head multi --evaluate-every 1 --evaluate-steps 5"
    return tuple(
        Row(
            label,
            f"{label}.py",
            MULTI,
            flags,
            strength_of=None if label == "finetune" else ("equal-small", MULTI, label),
        )
        for label in labels
    )


TUNING = (100, 101, 102)
SEQUENCE = (drawings.curves, drawings.final_accuracies, drawings.strengths)

EQUAL_SMALL = Table(
    name="equal-small",
    title="Equal terms, small network",
    shows="Ten tasks, 64-32 units, ten epochs a task, no dropout. All methods with the same "
    "network, heads and training, where forgetting is large.",
    rows=multi_head(
        SMALL,
        15,
        {"lwf": LWF, **LWF_1, "lwf, mean": f"{LWF} --distillation mean"},
        longer=LONGER,
    )
    + single_head(SMALL, 15, others={"ewc, online": ONLINE_LOWER}, longer=LONGER),
    seeds=TEN,
    tuning=TUNING,
    reference="anpyc_wo_np",
    drawings=SEQUENCE,
    note="""
        ANPyC does not win: MAS, SI and online EWC end highest, multi-head and single-head, and
        level with each other. Only LwF's λ lies at the end of its grid. Without pruning ANPyC
        forgets, multi-head, as little as they do, but at the λ that is best for it it learns the
        new tasks less well (LA).

        Pruning adds epochs to ANPyC. With fifteen a task, at least as many, the three stay ahead of
        it: multi-head online EWC {Multi-head: ewc, online, 15 epochs less Multi-head: anpyc_wi_np},
        SI {Multi-head: si, 15 epochs less Multi-head: anpyc_wi_np} and MAS {Multi-head: mas, 15
        epochs less Multi-head: anpyc_wi_np}, single-head {Single-head: ewc, online, 15 epochs less
        Single-head: anpyc_wi_np}, {Single-head: si, 15 epochs less Single-head: anpyc_wi_np} and
        {Single-head: mas, 15 epochs less Single-head: anpyc_wi_np}. Multi-head the longer training
        gains online EWC {Multi-head: ewc, online, 15 epochs less Multi-head: ewc, online} and SI
        {Multi-head: si, 15 epochs less Multi-head: si} points; single-head none of them gains
        anything beyond the noise, and MAS, for which validation then chooses a smaller λ, changes
        by {Single-head: mas, 15 epochs less Single-head: mas}.

        `anpyc_wi_np` sums the importances of the tasks, where `anpyc_wo_np` takes their maximum.
        Against the sum with fifteen epochs pruning changes ACC by {Multi-head: anpyc_wi_np less
        Multi-head: anpyc_wo_np, sum, 15 epochs} points multi-head (95 % interval {Multi-head:
        anpyc_wi_np less Multi-head: anpyc_wo_np, sum, 15 epochs: interval}) and {Single-head:
        anpyc_wi_np less Single-head: anpyc_wo_np, sum, 15 epochs} single-head ({Single-head:
        anpyc_wi_np less Single-head: anpyc_wo_np, sum, 15 epochs: interval}). More on this in the
        table `ablation`. EWC with an anchor for each task is level with ANPyC without pruning where
        that takes the maximum, and below it where it sums: {Multi-head: ewc less Multi-head:
        anpyc_wo_np, sum}. With a single head it falls behind: it holds the first tasks best of all
        penalties, and loses the later ones (figure of the final accuracies). Online EWC, with one
        anchor, does not (table `fisher`). No method comes near joint training.

        LwF: validation chooses λ 0, which is fine-tuning (run on another processor, whose rounding
        leads elsewhere: {Multi-head: lwf less Multi-head: finetune}). As λ grows the accuracy
        falls, rises to a second, lower maximum at λ 1, and falls again (figure of λ). At λ 1 it is
        ahead of fine-tuning up to task 4, then falls behind (figure of the curves), since it loses
        the oldest tasks: in the end it is at {Multi-head: lwf, λ 1 less Multi-head: finetune}
        points from it. That is not because its terms are summed over the old tasks, so that they
        weigh more and more: with their mean (`lwf, mean`) validation chooses next to nothing, too
        ({Multi-head: lwf, mean less Multi-head: lwf} from λ 0). What we saw when we looked into a
        run at each of λ 0, 0.01 and 1: on images of another permutation the old heads answer nearly
        alike, whatever the image. To hold these answers draws their answers on their own images
        together, too, until the oldest tasks get the same class for most images. A small λ only
        does this; a larger one also holds what the heads know, for some tasks.
    """,
)


def large_at_equal_strength(strength: str) -> tuple[Row, ...]:
    """Returns the rows of the large network with and without pruning, all with one λ."""
    return rows_of(
        f"Large network, λ {strength}",
        f"{LARGE} --head multi --lambda {strength}",
        {
            "50 %, sum": "anpyc_wi_np.py",
            "no pruning, sum, 15 epochs": "anpyc_wo_np.py --merge sum --epochs 15",
            "8 % in steps of 1 %, sum": "anpyc_wi_np.py --prune-percent 8 --prune-step 1",
        },
        reference="50 %, sum",
        seeds=FIVE,
    )


ABLATION = Table(
    name="ablation",
    title="What pruning does",
    shows="ANPyC without and with its pruning, on equal terms (small network: ten tasks "
    "multi-head, fifty single-head; large network: ten tasks multi-head), and "
    "with the settings of `anpyc_wi_np.py` itself. Percentages are the target of the first task; "
    "sum and max say how the importances of the tasks are merged.",
    rows=rows_of(
        "Equal terms",
        f"{SMALL} --head multi",
        {
            "no pruning, sum": f"{WITHOUT} --merge sum",
            "no pruning, max": WITHOUT,
            "no pruning, sum, 15 epochs": f"{WITHOUT} --merge sum --epochs 15",
            "no pruning, max, 15 epochs": f"{WITHOUT} --epochs 15",
            "20 %, sum": f"{WITH} --prune-percent 20",
            "50 %, sum": WITH,
            "80 %, sum": f"{WITH} --prune-percent 80",
            "50 %, max": f"{WITH} --merge max",
            "50 %, sum, explicit step": f"{WITH} --update explicit",
        },
        reference="no pruning, sum",
    )
    + rows_of(
        "Fifty tasks, single-head",
        f"{SMALL} --tasks 50 --head single",
        {
            "no pruning, sum": f"{WITHOUT} --merge sum",
            "no pruning, max": WITHOUT,
            "no pruning, sum, 11 epochs": f"{WITHOUT} --merge sum --epochs 11",
            "50 %, sum": WITH,
        },
        reference="no pruning, sum",
        seeds=FIVE,
        tuning=(100,),
    )
    + rows_of(
        "Large network",
        f"{LARGE} --head multi",
        {
            "50 %, sum": WITH,
            "no pruning, sum, 15 epochs": f"{WITHOUT} --merge sum --epochs 15",
            "no pruning, max, 15 epochs": f"{WITHOUT} --epochs 15",
            "8 % in steps of 1 %, sum": f"{WITH} --prune-percent 8 --prune-step 1",
        },
        reference="50 %, sum",
        seeds=FIVE,
        tuning=(100,),
    )
    + large_at_equal_strength("1")
    + large_at_equal_strength("3")
    + rows_of(
        "Settings of anpyc_wi_np.py, λ 3",
        "",
        {
            "50 %, sum": "anpyc_wi_np.py",
            "no pruning, sum": "anpyc_wi_np.py --prune-percent 0",
            "no pruning, sum, 102 epochs": "anpyc_wi_np.py --prune-percent 0 --epochs 102",
        },
        reference="50 %, sum",
        seeds=FIVE,
    ),
    seeds=TEN,
    tuning=TUNING,
    drawings=(drawings.means, drawings.differences),
    note="""
        Beyond the epochs that it costs pruning gains nothing that we see on the small network, and
        a little on the large one. On ten tasks of the small network 20 % is {Equal terms: 20 %,
        sum: difference} and 50 % {Equal terms: 50 %, sum: difference} points from no pruning, and
        no pruning with as many epochs as 50 % takes is at {Equal terms: no pruning, sum, 15 epochs:
        difference}. The comparison that counts, 50 % less that, is {Equal terms: 50 %, sum less
        Equal terms: no pruning, sum, 15 epochs}; its 95 % interval is {Equal terms: 50 %, sum less
        Equal terms: no pruning, sum, 15 epochs: interval}. 80 % costs accuracy. The sum is {Equal
        terms: no pruning, sum, 15 epochs less Equal terms: no pruning, max, 15 epochs} above the
        maximum with 15 epochs a task, with every seed; with ten the maximum ends {Equal terms: no
        pruning, max: difference} from the sum. With the explicit step a smaller λ has to do, since
        larger ones diverge, and it ends lower.

        Over fifty tasks with a single head the merge matters: without pruning the maximum ends
        {Fifty tasks, single-head: no pruning, max: difference} points from the sum, which is most
        of what `anpyc_wi_np` gains over `anpyc_wo_np` in the table `long`. Pruning shows no effect:
        50 % less no pruning with as many epochs is {Fifty tasks, single-head: 50 %, sum less Fifty
        tasks, single-head: no pruning, sum, 11 epochs}.

        On the large network 50 % gains a little, with every seed: {Large network: 50 %, sum less
        Large network: no pruning, sum, 15 epochs} from no pruning with as many epochs where one
        seed has chosen λ for either, {Large network, λ 1: 50 %, sum less Large network, λ 1: no
        pruning, sum, 15 epochs} where both have λ 1, {Large network, λ 3: 50 %, sum less Large
        network, λ 3: no pruning, sum, 15 epochs} where both have λ 3. A part of this is where
        pruning spends its epochs, most of them in the first tasks: as many rounds, still more of
        them there, that prune next to nothing (8 % in steps of 1 %), end {Large network, λ 1: 8 %
        in steps of 1 %, sum less Large network, λ 1: no pruning, sum, 15 epochs} and {Large
        network, λ 3: 8 % in steps of 1 %, sum less Large network, λ 3: no pruning, sum, 15 epochs}
        from no pruning, and 50 % ends {Large network, λ 1: 50 %, sum less Large network, λ 1: 8 %
        in steps of 1 %, sum} and {Large network, λ 3: 50 %, sum less Large network, λ 3: 8 % in
        steps of 1 %, sum} from these. A reading of F and LA: what is pruned has no importance and
        is free for the tasks to come; with the same λ they are learned better than without pruning,
        and a little more of the old ones is forgotten.

        With the settings of `anpyc_wi_np.py`, on the small network, no pruning is not worse, with
        fewer epochs and with as many. All this is of a pruned share that falls from task to task,
        as [the method](../docs/method.md#pruning) has it: 50 % after task 0, under 1 % from task 4
        on.
    """,
)

FISHER = Table(
    name="fisher",
    title="Which Fisher information EWC uses",
    shows="EWC on the equal terms of the small network, multi-head. Sampled: the label is "
    "drawn from the model's output; exact: the expectation over all labels; labels: the data's "
    "own; first of a batch: one image of 1,000, as released (D4); online: one anchor and "
    "Ω ← γ·Ω + F.",
    rows=rows_of(
        "",
        f"{SMALL} --head multi",
        {
            "sampled": EWC,
            "exact": f"{EWC} --fisher exact",
            "labels": f"{EWC} --fisher labels",
            "first of a batch": f"{EWC} --as-released D4",
            "online, γ 1": ONLINE,
            "online, γ 0.9": f"{EWC} --gamma 0.9",
        },
    ),
    seeds=TEN,
    tuning=TUNING,
    reference="sampled",
    epochs=False,
    drawings=(drawings.means, drawings.final_accuracies, drawings.strengths),
    note="""
        What matters is not which labels the Fisher information takes, but the anchor: the newest
        weights alone, as in online EWC, are worth {online, γ 1: difference} points against one
        anchor a task. Sampled labels or the expectation over all of them: no difference. The labels
        of the data give another scale of Ω and no better result. The first image of each batch, 55
        a task, end {first of a batch: difference} points from all of them, at a larger λ: we see no
        loss with so few. The newest weights alone are the anchor of MAS, SI and ANPyC, too. With an
        anchor a task the later tasks end lower (figure of the final accuracies), as if they were
        pulled back to the early ones. With a single head the newest weights are worth still more
        (tables `equal-small`, `long`); multi-head over fifty tasks the gain is within the noise
        (`long`). γ 0.9 changes ACC by {online, γ 0.9 less online, γ 1}: no more than the noise.
    """,
)

UPDATE = Table(
    name="update",
    title="Proximal and explicit step",
    shows="ACC over λ with the consolidation term taken at the new point (proximal) and at the "
    "old one (explicit), on the equal terms of the small network, multi-head.",
    rows=update_rows(),
    seeds=THREE,
    columns=tuple(map(of_strength, STRENGTHS)),
    epochs=False,
    drawings=(drawings.updates,),
    note="""
        The proximal step makes every λ usable. Where both finish they end within a point of each
        other from λ 0.1 on, and within two at λ 0.01. The explicit step diverges with every seed
        from some λ on, and for SI and ANPyC before it has come to the best of these. The proximal
        step never diverges: too large a λ costs accuracy, little by little.
    """,
)

STABILITY = Table(
    name="stability",
    title="Accuracy in the course of training",
    shows="The test accuracy is read after every epoch (215 steps), directly after every pruning "
    "and, in the first epoch of a task, after every fifth step, on the equal terms of the small "
    "network, with the λ chosen there. How the mean accuracy on the earlier tasks changes, mean "
    "over all tasks but the first: lowest, from before a task to the lowest of the mean curve over "
    "its first epoch; first epoch, to the end of that epoch; rest, from there to the task's end.",
    rows=stability_rows(),
    seeds=FIVE,
    columns=(
        *(ACC, metric("min_ACC"), metric("WC_ACC"), metric("F")),
        Column("lowest", lowest),
        Column("first epoch", first_epoch),
        Column("rest", rest),
    ),
    reference="anpyc_wo_np",
    drawings=(drawings.first_epoch, drawings.along_training),
    note="""
        There is a stability gap, a small one. When a new task begins the accuracy on the earlier
        ones falls with every penalty, step by step and mostly within the first 60 of the epoch's
        215 steps, by {Multi-head: anpyc_wo_np: lowest} (ANPyC without pruning) to {Multi-head: si:
        lowest} (SI) points at its lowest, and stays near that (first figure). No fall within a few
        steps shows. At the end of the epoch it is at {Multi-head: anpyc_wo_np: first epoch} to
        {Multi-head: si: first epoch}. In the task's other epochs EWC, MAS, SI and ANPyC without
        pruning win back {Multi-head: ewc: rest}, {Multi-head: mas: rest}, {Multi-head: si: rest}
        and {Multi-head: anpyc_wo_np: rest}. Without protection it rises for a few steps, then falls
        for good: {Multi-head: finetune: first epoch}, then {Multi-head: finetune: rest}. min-ACC,
        the lowest single reading of each task, does not show this. Pruning does not show in the
        accuracy of earlier tasks.
    """,
)


def long_rows() -> tuple[Row, ...]:
    """Returns the rows of fifty tasks; where one seed left λ open, three choose it."""
    flags = f"{SMALL} --tasks 50"
    # Another λ was within 0.5 points on the validation set.
    close = {
        f"{MULTI}: ewc",
        f"{MULTI}: ewc, online",
        f"{MULTI}: anpyc_wo_np, sum",
        f"{SINGLE}: ewc",
    }
    others = {"ewc, online": ONLINE_LOWER}
    rows = multi_head(flags, 11, LWF_COARSE, others=others)
    rows += single_head(flags, 11, others={**others, "ewc": EWC_LOWER, "si": SI_LOWER})
    return tuple(
        dataclasses.replace(row, tuning=TUNING) if row.title in close else row for row in rows
    )


LONG = Table(
    name="long",
    title="Fifty tasks",
    shows="The equal terms of the small network over the long sequence that the method is "
    "named for.",
    rows=long_rows(),
    seeds=FIVE,
    tuning=(100,),
    reference="anpyc_wo_np",
    drawings=SEQUENCE,
    note="""
        ANPyC does not win: multi-head SI, MAS and online EWC end highest, single-head online EWC
        and SI. Multi-head all penalties end within about three points of each other. SI is
        {Multi-head: si less Multi-head: anpyc_wi_np} points above ANPyC with pruning, and
        {Multi-head: si less Multi-head: ewc} above EWC; against ANPyC without pruning it is at
        {Multi-head: si: difference}, ahead with every seed and just within the noise. Pruning,
        against the sum with as many epochs, is at {Multi-head: anpyc_wi_np less Multi-head:
        anpyc_wo_np, sum, 11 epochs} (95 % interval {Multi-head: anpyc_wi_np less Multi-head:
        anpyc_wo_np, sum, 11 epochs: interval}). How much a method forgets and how well it learns
        (F, LA) follows its λ. One seed has chosen it, but three where another λ came within half a
        point on the validation set; of online EWC multi-head the first seed alone would have taken
        3 in place of {Multi-head: ewc, online: λ}. A frozen trunk, which forgets nothing, is
        {Multi-head: sgd_freeze less Multi-head: finetune} above no protection, ANPyC {Multi-head:
        anpyc_wi_np less Multi-head: finetune}: over so long a sequence learning only the heads is
        most of what protection is worth. For LwF validation chooses λ 0, which is fine-tuning; at λ
        1 it ends {Multi-head: lwf, λ 1 less Multi-head: finetune} points from that (why: table
        `equal-small`).

        With a single head the methods come apart. Online EWC, at {Single-head: ewc, online:
        difference}, and SI, at {Single-head: si: difference}, end highest and level with each
        other; MAS, at {Single-head: mas: difference}, and ANPyC with pruning, at {Single-head:
        anpyc_wi_np: difference}, follow, level as well. That ANPyC ends higher with pruning is not
        because of the pruning: `anpyc_wi_np` also sums the importances of the tasks, where
        `anpyc_wo_np` takes their maximum, and where both sum pruning makes no difference beyond the
        noise (table `ablation`). EWC with an anchor for each task keeps the first few and loses the
        rest, the newest aside (figure of the final accuracies). Only LwF's λ lies at the end of its
        grid.
    """,
)

EQUAL_LARGE = Table(
    name="equal-large",
    title="Equal terms, large network",
    shows="Ten tasks, 512-256 units, as the release has for all methods but `anpyc_wi_np.py`; ten "
    "epochs a task, dropout 0.5 (of `sgd_freeze` on the second layer alone).",
    rows=multi_head(LARGE, 15, {"lwf": LWF}, others={"ewc": EWC_LOWER}, longer=LONGER),
    seeds=FIVE,
    tuning=(100,),
    reference="anpyc_wo_np",
    drawings=SEQUENCE,
    note="""
        A large network with dropout forgets little: joint training is {Multi-head: joint less
        Multi-head: finetune} points above no protection, and all penalties that train ten epochs a
        task end within half a point of each other. With half as many epochs again, ANPyC with
        pruning ends {Multi-head: anpyc_wi_np: difference} points from `anpyc_wo_np`. Most of that
        is the epochs: as many, spread evenly over the tasks and without pruning, give {Multi-head:
        anpyc_wo_np, 15 epochs: difference}. What lies between the two, {Multi-head: anpyc_wi_np
        less Multi-head: anpyc_wo_np, 15 epochs}, is small, but has the same sign with every seed,
        as has what lies between it and the sum, {Multi-head: anpyc_wi_np less Multi-head:
        anpyc_wo_np, sum, 15 epochs}. At equal λ it is no smaller, and a part of it is pruning
        (table `ablation`). The sum itself is {Multi-head: anpyc_wo_np, sum: difference} from the
        maximum.

        ANPyC does not win here either. With fifteen epochs online EWC ends {Multi-head: ewc,
        online, 15 epochs less Multi-head: anpyc_wi_np} from ANPyC with pruning and MAS {Multi-head:
        mas, 15 epochs less Multi-head: anpyc_wi_np}, both ahead with every seed; SI, at
        {Multi-head: si, 15 epochs less Multi-head: anpyc_wi_np}, is level. Up to task 6 ANPyC is
        ahead of all three: its epochs go into the first tasks.

        A frozen trunk ends below no protection: what it has learned of task 0 is not enough for the
        others (LA). LwF gets better as λ falls, until it equals fine-tuning.
    """,
)


# Rows of the headline: labels multi-head and single-head, with the epochs of a task that ANPyC's
# pruning takes on average, and the table where that is another; "" for none.
HEADLINE = {
    "no protection (`finetune`, `sgd_single_head`)": ("finetune", "sgd_single_head"),
    "frozen trunk (`sgd_freeze`)": ("sgd_freeze", ""),
    "LwF": ("lwf", ""),
    "EWC": ("ewc", "ewc"),
    "online EWC (`ewc --gamma 1`)": ("ewc, online", "ewc, online"),
    "MAS": ("mas", "mas"),
    "SI": ("si", "si"),
    "ANPyC without pruning, maximum (`anpyc_wo_np`)": ("anpyc_wo_np", "anpyc_wo_np"),
    "likewise, sum (`anpyc_wo_np --merge sum`), as many epochs as the next": (
        ("anpyc_wo_np, sum, {epochs} epochs",) * 2
    ),
    "ANPyC, sum (`anpyc_wi_np`)": ("anpyc_wi_np", "anpyc_wi_np"),
    "our change of it: sum, without pruning, Ω by d² (`--measure square`)": (
        ("measures: square",) * 2
    ),
    "joint training": ("joint", "joint"),
}


def headline(evaluated: Mapping[str, contents.TableResults]) -> str | None:
    """Returns the block that shows ACC of all methods on equal terms, small network.

    Args:
        evaluated: all tables, by name.

    Returns:
        None as long as one of its tables is not complete.
    """
    header, columns = [""], []
    if not all(evaluated[name].complete for name in ("equal-small", "measures", "long")):
        return None
    sequences = (("equal-small", "10 tasks", 15, ""), ("long", "50 tasks", 11, ", fifty tasks"))
    for name, sequence, epochs, also in sequences:
        for place, group in enumerate((MULTI, SINGLE)):
            header.append(f"{sequence}, {group.lower()}")
            column = []
            for both in HEADLINE.values():
                other, _, label = both[place].format(epochs=epochs).rpartition(": ")
                if not label:
                    column.append("-")
                    continue
                row = evaluated[other or name].row(group + (also if other else ""), label)
                column.append(pages.shown(row.estimate(ACC), ACC, row.diverged(ACC)))
            columns.append(column)
    return pages.markdown(header, zip(HEADLINE, *columns, strict=True))
