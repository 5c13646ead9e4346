"""Training decoders on the tasks; needs the extra ``torch``."""
