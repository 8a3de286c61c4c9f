"""What was asked and answered, kept for projects that want it: encrypted, bounded, off the hot path."""
