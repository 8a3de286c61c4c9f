"""Limits: what subjects may use, counted before a call goes on and settled when it ends.

`stage.py` is what the pipeline asks; `rules.py` says which limits a call is under; `table.py` and `valkey.py`
keep the counters; `reservation.py` is what one call holds; `counting/` counts the tokens of its prompt.
"""
