"""FF1 and FF3-1 (NIST SP 800-38G): readable references, and kernels over arrays."""
