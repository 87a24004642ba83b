"""The comparison of source, bundle and target."""
