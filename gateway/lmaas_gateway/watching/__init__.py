"""Objectives of models, alerts when they are missed or replicas fail, and who is told."""
