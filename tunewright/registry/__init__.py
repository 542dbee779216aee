"""Registry: versions of releases, and which of them serves. Files only.

    registry = Registry("registry/reviews")
    version = registry.register("runs/reviews/release", run="runs/reviews", reason="first model", by="ana")
    registry.promote(version, reason="SHIP on 553 sealed rows", by="ana")
    registry.state().champion                 # 1
    registry.path(1)                          # registry/reviews/versions/1: a release like any other
    registry.rollback(reason="thumbs down doubled", by="ana")

Who reads (`state.py`, `store.py`) needs no lock: a change is one rename. `intake.py` checks and takes in a release.
"""

from tunewright.registry.places import Place, find, locate, models, open_model, root
from tunewright.registry.state import Mode, Rollout, State, Version
from tunewright.registry.store import Registry

__all__ = ["Mode", "Place", "Registry", "Rollout", "State", "Version", "find", "locate", "models", "open_model", "root"]
