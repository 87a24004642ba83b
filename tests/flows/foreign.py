"""Bundles as cloudera/cmlutils writes them."""

import json


def without_ours(bundle):
    """Turn a bundle of ours into such a one: remove the manifest, and the fields that only we write."""
    (bundle / "manifest.json").unlink()
    for kind in ("project", "models", "jobs", "applications"):
        path = bundle / f"project-metadata/{kind}-metadata.json"
        content = json.loads(path.read_text())
        for record in [content] if kind == "project" else content:
            record.pop("cmlutil")
        path.write_text(json.dumps(content))
