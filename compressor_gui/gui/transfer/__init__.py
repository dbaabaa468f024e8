"""New classes for a trained network in the window: a folder of pictures is looked at, and a new top trained on it."""
