"""AIGER, as text and in binary."""
