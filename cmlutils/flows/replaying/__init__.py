"""Settings and workloads on the target: each once, inert, and what was left behind taken away."""
