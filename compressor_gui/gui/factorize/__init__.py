"""Factorizing in the window: what each rank keeps and saves of a layer, and the ranks that become a step."""
