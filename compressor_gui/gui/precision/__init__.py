"""Mixed precision in the window: the search, its Pareto curve, and the point that is put into the recipe."""
