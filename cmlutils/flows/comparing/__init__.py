"""What source, bundle and target have in common, and what not."""
