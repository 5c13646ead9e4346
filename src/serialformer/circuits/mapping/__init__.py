"""Fewer and wider gates for the same function."""
