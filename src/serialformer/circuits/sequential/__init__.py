"""Circuits with registers, and their runs, cycle by cycle."""
