"""Records of single calls: why each took as long as it did, and what was done to it on its way."""
