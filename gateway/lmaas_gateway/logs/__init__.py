"""Log lines: one shape for all, where they go, and how they are found again."""
