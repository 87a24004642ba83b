"""Copy a project's files: listings, the plan of a copy, rsyncs, and the checks afterwards."""
