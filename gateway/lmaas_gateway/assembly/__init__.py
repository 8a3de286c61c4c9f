"""The parts that a gateway is put together from, a module a concern; `app.py` joins them.

What its process has for it stands in `surroundings.py`. What counts, remembers or has connections is made
once: `counting.py`, `gates.py`, `gauges.py`, `watching.py`. What follows from a configuration is made anew
with each, and replaced as one: `identity.py`, `admin.py`, `pages.py`, `snapshot.py`. What not every
configuration needs is imported where it is wanted.
"""
