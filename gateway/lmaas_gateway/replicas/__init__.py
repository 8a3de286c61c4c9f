"""Replicas: the vLLM processes that answer, whether launched here or running elsewhere."""
