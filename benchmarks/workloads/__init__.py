"""What is measured: one module a kind of work, each with a tuple `WORKLOADS`."""
