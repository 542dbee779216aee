"""Nouns and plumbing that every stage shares: rows, recipe, run directory, ledger, findings, scores, plug-ins, errors.

Nothing in here imports another folder of the package.
"""
