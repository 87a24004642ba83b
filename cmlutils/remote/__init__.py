"""The doors to the outside: HTTP, processes, tunnels, rsync."""
