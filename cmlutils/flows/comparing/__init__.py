"""The comparison of source, bundle and target, as `flows/validate_migration.py` calls it.

`side` is one of the two workspaces, and knows how to judge a difference there; `settings`, `workloads` (which `pairs`
brings together) and `files` (with the `digests` of their contents) find the differences.
"""
