"""Figures: pure functions from rows to matplotlib axes, and whole figures. The extra ``plot`` is required."""
