"""Who may go on to a pool now, and who waits: a bounded, fair queue in front of the engines' own."""
