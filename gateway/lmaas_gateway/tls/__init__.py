"""TLS: contexts for the listener and for replicas, made anew when their files change."""
