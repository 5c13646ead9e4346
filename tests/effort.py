"""How many examples a property is tried on, as a multiple of what the profile of hypothesis says."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def effort(factor: float, **options: list[HealthCheck]) -> settings:
    """A decorator: so many times the examples of the profile. Cheap tests take more, expensive ones fewer.

    >>> effort(0.25).max_examples * 4 == settings.default.max_examples
    True
    """
    return settings(max_examples=max(1, round(factor * settings.default.max_examples)), **options)
