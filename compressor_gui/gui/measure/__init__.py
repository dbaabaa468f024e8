"""What the engine measures on the user's data, in the window."""
