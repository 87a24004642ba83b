"""The verbs: what the commands do, without a word to the user.

    export      export_project, which read_project helps
    import      import_project; import_checks (beforehand), import_report (what it says besides outcomes)
    validate    validate_migration
    dry run     plan_export, plan_import with plan_workloads
    doctor      doctor; doctor_machine and doctor_ini need no workspace
    others      status, list_projects (for init), map_engines (for helpers)

All begin with `connect`. Export and import move files by `copying`; an import makes workloads by `replaying`; a
validation compares by `comparing`.
"""
