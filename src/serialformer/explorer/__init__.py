"""The page on which one watches a model think: what it holds, how it is written, and how it is served."""
