#!/usr/bin/env python3
"""Exports, imports and validates every project of export-config.ini, BATCH_SIZE at a time.

With --remove-bundles and --disk-budget, the disk may be much smaller than all projects together.
"""

from start import script

BATCH_SIZE = 10  # each project opens a session of 1 CPU and 0.5 GB on a workspace

if __name__ == "__main__":
    script("migrate", BATCH_SIZE)
