"""Human review as data: a queue of rows worth a look, decisions with who and when, and what they come to.

review/queue.parquet      rows in order of expected gain, a share of them drawn at random
review/log.jsonl          decisions, appended one a line                            (log.py)
  --settle-->             agreed or adjudicated rows; the others wait               (outcome.py)
  --step apply_reviews--> rows relabelled, edited or dropped in prepare, each with its ledger line
"""

from tunewright.prepare.review.log import Decision, Log
from tunewright.prepare.review.outcome import conflicts, resolved

__all__ = ["Decision", "Log", "conflicts", "resolved"]
