"""Create settings and workloads on the target, each once and inert, and delete what an interrupted run left."""
