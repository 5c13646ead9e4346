"""Figures: pure functions from rows to matplotlib axes, and figures put together of them. Needs the extra ``plot``."""
