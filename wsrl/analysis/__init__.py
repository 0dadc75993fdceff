"""Pure functions on weights, embeddings and what is made of them; figures."""
