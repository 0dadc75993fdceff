"""Files of others to weights: nothing in them is ever run."""
