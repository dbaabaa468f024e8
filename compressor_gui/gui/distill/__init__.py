"""Distilling in the window: a student is chosen, taught, and opened or compared."""
