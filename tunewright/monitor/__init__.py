"""Monitor: is what comes in and goes out still what the release was proven on?

    requests in the traffic store
      -> windows.py    cut into windows, of each version and side, going on where it stopped
      -> signals/      one file each: inputs, outputs, confidence, latency, errors, labels
      -> decide.py     beyond what chance gives? thresholds at a stated rate of false alarms
      -> alerts.py     lasts long enough to tell somebody? once, together, and again when it is over
      -> deliver.py    told through Apprise, tried again until it arrives
      -> result.py     `status(store, model)`: what retraining and people ask

`rounds.py` is one pass over all of that. `replay.py` asks what a file of texts would have alarmed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunewright.monitor.result import MonitorResult, status
    from tunewright.monitor.rounds import Watch

__all__ = ["MonitorResult", "Watch", "status"]


def __getattr__(name: str) -> Any:
    """Loaded when asked for, so that listing signals stays light."""
    from importlib import import_module

    if name in ("MonitorResult", "status"):
        return getattr(import_module("tunewright.monitor.result"), name)
    if name == "Watch":
        return import_module("tunewright.monitor.rounds").Watch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
