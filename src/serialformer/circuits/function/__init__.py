"""Python functions over words of fixed width as circuits: ``@circuit``."""
