"""The upstream engine's parts: answers come from another OpenAI-compatible server.

client.py    the connection: address, key, time limits, retries, what its errors mean to our caller
answers.py   a request -> a body for it; its server-sent events -> pieces
labels.py    label likelihoods through its completions with echo and logprobs
"""
