#!/usr/bin/env python3
"""Exports, imports and validates every project of export-config.ini, BATCH_SIZE at a time.

With --remove-bundles and --disk-budget, projects pass through a disk much smaller than they are.
"""

from start import script

BATCH_SIZE = 10  # each project opens a session of 1 CPU and 0.5 GB on a workspace

if __name__ == "__main__":
    script("migrate", BATCH_SIZE)
