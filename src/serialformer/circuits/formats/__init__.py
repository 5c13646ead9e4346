"""Readers and writers of circuit files: a file or a folder a format."""
