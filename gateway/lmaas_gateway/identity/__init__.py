"""Who calls, and what they may: keys, tokens of people, roles."""
