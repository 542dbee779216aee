"""Retrain: from labelled traffic to a new champion, or to a reason why not.

triggers.py    is it time? labelled accuracy, sustained drift, schedule; cool-down, budget, enough new rows
journal.py     one attempt: `registry/MODEL/retrain/ID/journal.json`, each step marked done last
machine.py     the steps in order, resumed after any interruption, one process at a time: read this first
rows.py        approved rows and a share of the old ones -> a data file; what stays sealed stays sealed
recipe.py      the champion's recipe, pointed at these rows
gates.py       challenger against champion, paired, on the frozen and on the rolling sealed test
rollout.py     shadow, canary, promotion and what follows it, judged by tests that may be looked at any time
"""
