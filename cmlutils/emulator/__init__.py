"""A stand-in workspace for rehearsals and tests; shares no code with the rest of cmlutils.

`server` starts one. A request comes in by `wire` and `app`, becomes one of `calls`, and is answered by `routes` in the
`shapes` of v1. The state is a `world`: `records` and `workloads`, by `reading` from YAML, with the files by `tree`.
`sessions` open `ssh` into a project for `cdswctl`, the client that is served. `certs` makes its certificates, `faults`
goes wrong as told, and `assumptions` names what no public capture proves.
"""
