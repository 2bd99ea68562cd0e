"""Random numbers: every draw is a function of (seed, task, …, stream), whatever was drawn before.

So an interrupted run that goes on computes the same numbers as one that was never interrupted.
"""

from __future__ import annotations

import numpy as np

# The streams. The initial weights' seeds end with their place; every other stream ends its seeds
# with a number of its own, so that no two streams are the same. SHUFFLE and the first place alone
# may be 0, since no shorter keys are in use beside them. A method of your own takes OWN and above.
SHUFFLE, DROPOUT, EVALUATION, LABELS, MEASURING, TEACHER = range(6)
OWN = 100


def stateless_seed(*keys: int) -> np.ndarray:
    """Returns a seed [2] int32 for `tf.random.stateless_*`; other keys give an unrelated one.

    Args:
        *keys: seed, task and whatever else tells this draw from others, at last its stream. Zeros
            at the end do not count, so the last key must not be 0.
    """
    return np.random.SeedSequence(keys).generate_state(2).view(np.int32)
