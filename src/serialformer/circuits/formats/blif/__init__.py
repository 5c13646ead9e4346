"""BLIF."""
