"""Pure functions on weights, trajectories and embeddings; figures."""
