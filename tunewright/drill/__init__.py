"""Drill: the closed loop for real, offline, in minutes: a real release behind a real server, real requests, real drift.

plan.py       what is played: rows, recipe, how much traffic
shop.py       the server in a process of its own, and its customers
timeline.py   what happened when, with the evidence; nothing is said that was not measured
acts.py       detect -> label -> retrain -> gate -> shadow -> canary -> promote, then a bad release and the way back: read this first
"""
