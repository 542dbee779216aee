"""All that touches a language model: loading, prompts, tree-packed passes, label scores, adapters, embeddings.

A row's text becomes tokens in `chat.py`, tokens become one packed sequence in `tree.py`, and the sequence becomes
log-probabilities of answers there too; `score.py` turns those into a prediction.
"""
