"""Compiled kernels for populations of small RNNs: on the CPU, C++ built on first use."""
