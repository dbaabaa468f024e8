"""Training of frozen graphs: constants become variables, zeros are held, weights go back as a step of the recipe."""
