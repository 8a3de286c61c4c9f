"""Replies given again: by Idempotency-Key, by single flight, and from the response cache."""
