"""How far chance alone takes a difference of means: Student's t distribution.

For whole degrees of freedom it is a finite sum, which needs no more than `math`: TensorFlow, which
has the incomplete beta function, takes longer to load than all tables take to be made.
"""

from __future__ import annotations

import functools
import math

CONFIDENCE = 0.95


def tail(errors: float, freedom: int) -> float:
    """Returns the probability that t lies beyond ± so many standard errors.

    Abramowitz and Stegun, 26.7.3 and 26.7.4.

    Args:
        errors: 0 or more.
        freedom: degrees of freedom, 1 or more.
    """
    angle = math.atan(errors / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    first = freedom % 2
    term = cosine if first else 1.0
    total = 0.0
    for k in range(first, freedom - 1, 2):
        total += term
        term *= (k + 1) / (k + 2) * cosine**2
    inside = 2 / math.pi * (angle + sine * total) if first else sine * total
    return max(1.0 - inside, 0.0)


@functools.cache
def quantile(freedom: int) -> float:
    """Returns how many standard errors a 95 % interval reaches to either side.

    Args:
        freedom: degrees of freedom, 1 or more.
    """
    low, high = 0.0, 20.0  # 12.7 with one degree of freedom
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, freedom) > 1 - CONFIDENCE else (low, middle)
    return high
