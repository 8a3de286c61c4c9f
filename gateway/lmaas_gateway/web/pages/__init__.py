"""The pages, one noun a module."""
