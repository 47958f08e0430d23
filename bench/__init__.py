"""Benches: what a caller waits, what a machine yields, what the path costs; references are measured in the same run.

Refused: figures without the machine, versions, model, seed, settings and command they belong to.
"""
