"""Counters that several hosts share, in Valkey or Redis."""
