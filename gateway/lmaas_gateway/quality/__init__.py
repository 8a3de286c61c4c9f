"""How good replies are: what callers say, what can be seen of them, and prompts whose answer is known."""
