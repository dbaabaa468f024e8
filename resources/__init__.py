"""Icons, style, sample models and help pages, found with ``importlib.resources``."""
