"""Words to calls; results to words and exit codes.

`main` runs a command line, and turns errors into words and exit codes; `signals` ends it. The commands are in
`project` and `overview` (project list and status), `doctor`, `init` (which asks `questions`), `helpers`, `emulator`,
`demo` and `completion`; `commands` is the class of their groups, `options` what several have in common. Export, import
and validation happen inside `runs`: it locks the bundle, and sees to log and report. What is shown, and where:

    results     render (text and JSON), report_html with its charts, output (the terminal)
    progress    progress (a bar, or lines), progress_file (for other shells)
"""
