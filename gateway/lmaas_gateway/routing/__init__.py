"""Which replica gets a call: the loop that tries them, the policies that choose, the verdict if all fail."""
