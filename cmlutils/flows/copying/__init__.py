"""Copy a project's files: listings, the plan of a copy, rsyncs, and the checks afterwards.

A way through, for a pull: `survey` looks at both sides, `pull` copies what differs by a `mover`, and looks again. For
a push: `bundle_files` lists the bundle, and `push` does the rest. The other modules, by what they know:

    the source   ignore_files, source_listing, listing
    the bundle   local_listing, landing, room, losses; own_folders
    the target   target_folder, target_files, whole_names; pushed, earlier_pushes (what of it is ours)
    a copy       remaining (what, and told how), shares, stream, rsyncs; recopy (what looks equal and is not)
    the end      result, ahead (worked out while rsync copies)
    tools        retrying, threads
"""
