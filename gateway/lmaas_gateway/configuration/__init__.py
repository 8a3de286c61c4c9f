"""Changing the configuration of a gateway that serves: who asks, what may change, how it takes effect."""
