"""Kernels for populations of small RNNs: C++ built on first use, and Triton for GPUs."""
