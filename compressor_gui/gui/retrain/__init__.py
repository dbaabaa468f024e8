"""Retraining in the window: the target, the run as it goes, and the points that it leads to."""
