"""Interpretability: interventions on models whose every part is known, and how explanations of them are judged."""
