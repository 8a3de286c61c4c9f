"""Secrets of the gateway: one master secret, keys made from it, and contents sealed with them."""
