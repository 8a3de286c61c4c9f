"""From a fresh machine to a running service: interpreters, environments and lock files.

Standard library only, because nothing is installed yet when it runs. Read `cli.py` first.
"""
