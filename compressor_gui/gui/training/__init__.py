"""What the windows of all trainings share: the run, its course and curves, the choice of data, the fields of forms."""
