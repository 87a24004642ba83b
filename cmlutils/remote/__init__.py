"""The doors to the outside: HTTP, programs, sessions and tunnels, rsync.

A way through: `v1` and `v2` say what a workspace can be asked, and `http` when a request is repeated. `tunnel` runs
commands in a session that `cdswctl` has opened, and `process` runs any program here. The modules, by what they talk to:

    the API      v1, v2 (with a v2_key), both over routes
    HTTP         http over exchange; replies, failures, headers (what came back, or did not); waiting (back-off)
    a session    cdswctl (the client), endpoint (its session), orphans (sessions that outlive us)
    ssh          tunnel over channels; ssh (keys and settings), agent
    rsync        rsync (command lines and output), progress_signal
    programs     process over child and pipes; watchdog (after a kill -9 of ours); private (folders of a run)
"""
