"""Create settings and workloads on the target, each once and inert, and delete what an interrupted run left.

A way through: `steps` says what one thing on the target is, `ensure` what is done with it, whatever journal and target
say of it, and `take_away` how it goes if it must not stay. `kinds` knows how things of each kind are listed and asked
for. Then the things themselves, of which the second to fourth share `workload_replay`:

    project
    models         built by model_builds, each under a build_watch
    applications   stopped by application_stop
    jobs           paused, and given what starts them by job_triggers
    leftovers      which the bundle no longer has

They ask `target`, `runtime_choice` and `translate` (people and add-ons); `journal_keys` names them in the journal.
`hand_over` comes last.
"""
