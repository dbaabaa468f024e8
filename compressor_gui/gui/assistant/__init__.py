"""The Quantize assistant: four steps (what, data, method, result) that write a recipe and measure what it makes.

``draft`` holds what was chosen, ``run`` does the work, the pages show both, ``dialog`` leads through them. The document
stays as it is until the user takes the recipe.
"""
