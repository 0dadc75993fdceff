"""A random search for faults: mutated inputs, a command on each, and rules for what may happen."""
