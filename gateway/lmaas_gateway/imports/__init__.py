"""Moving in: turn the configuration and the keys of another gateway into ours, and say what cannot be."""
