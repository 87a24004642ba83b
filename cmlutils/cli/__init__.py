"""Words to calls; results to words and exit codes."""
