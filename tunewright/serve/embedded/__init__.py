"""The embedded engine's parts: one worker thread runs every model of this process, step by step, for all requests at once.

prompts.py     a request -> token ids (chat template, token contract)
worker.py      the thread: takes commands between steps, runs a step of each base model in turn
batch.py       who is in the next step: rows that decode, and a bounded piece of those whose prompt is still read
attention.py   one packed pass over rows of different lengths, registered through transformers' AttentionInterface
cache.py       keys and values: slots of the rows that decode, and blocks of prompts kept for the next request
weights.py     base models, each in memory once; adapters.py: what adapters add to it
sampling.py    logits -> the next token;  grammar.py: only tokens that obey a JSON schema
text.py        tokens -> text that never splits a character nor leaks a stop string
scoring.py     label likelihoods of many texts in one pass
quantise.py    int8 weights, and whether they are good enough for a release
"""
