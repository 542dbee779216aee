"""Human review as data: a queue of rows worth a look, decisions with who and when, and what they come to.

    audit/rows.parquet, audit/findings.parquet
      --Review.fill-->        review/queue.parquet: rows by expected gain, a share of them drawn at random      (queue.py, gain.py)
      --Review.decide-->      review/log.jsonl: decisions, appended one a line                                  (desk.py, log.py)
      --settle-->             rows that are agreed or adjudicated; the others wait                              (outcome.py)
      --step apply_reviews--> rows relabelled, edited or dropped in prepare, each with its ledger line

Commands and pages use `Review` (desk.py) and the functions of `status`, `questions` (calibration of checks) and `exchange`
(Label Studio, Argilla, csv, jsonl); nobody writes below `review/` but these.
"""

from tunewright.prepare.review.desk import Item, Review
from tunewright.prepare.review.log import Decision, Log
from tunewright.prepare.review.outcome import conflicts, resolved

__all__ = ["Decision", "Item", "Log", "Review", "conflicts", "resolved"]
