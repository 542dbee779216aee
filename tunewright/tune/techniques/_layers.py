"""What several techniques share: which layers learn."""

from __future__ import annotations

import math
from typing import Any


def frozen_below(model: Any, share: float) -> int:
    """Number of layers below the top `share` of them (at least one layer learns): 30 layers, .5 -> 15."""
    from tunewright.models.anatomy import anatomy

    count = len(anatomy(model).layers)
    return count - max(1, math.ceil(share * count))
