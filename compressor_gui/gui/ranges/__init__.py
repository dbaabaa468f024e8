"""Ranges of activations as plots: looked at, dragged, and stored in a step of the recipe."""
