"""Programmatic labelling: rules that vote, a model that weighs the votes, labels with probabilities and row weights.

functions.py     @labelling_function(): what a rule is               (also labeling_function)
load.py          rules from a Python file that the user names
votes.py         every rule on every row; failures abstain and are counted
analysis.py      coverage, overlaps, conflicts, accuracy; rules that depend on each other
models.py        majority, Dawid-Skene, Snorkel's
label.py         all of it: a data file in, a data file with label, label_probability, weight out
"""

from tunewright.prepare.labelling.functions import ABSTAIN, LabellingFunction, labeling_function, labelling_function

__all__ = ["ABSTAIN", "LabellingFunction", "labeling_function", "labelling_function"]
