#!/usr/bin/env python3
"""Exports every project of export-config.ini, BATCH_SIZE at a time."""

from start import script

BATCH_SIZE = 10  # each project opens a session of 1 CPU and 0.5 GB on the workspace

if __name__ == "__main__":
    script("export", BATCH_SIZE)
