"""The comparison: every encoder on every property of every zoo, over seeds."""
