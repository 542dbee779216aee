"""Augmentation: new training rows made from old ones, by the step `augment`.

    methods/     one file each: noise, synonyms, templates; back_translation, paraphrase, synthetic through a model
    accept.py    which of the new texts may stay, and why the others may not
    ask.py       an OpenAI-compatible endpoint, a translator, or the run's own base model
    data/        synonyms, contractions, prompts

A new row has its parent's id, label and group, so it never leaves the parent's split.
"""
