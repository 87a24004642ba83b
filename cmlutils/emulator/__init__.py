"""A stand-in workspace for rehearsals and tests; shares no code with the rest of cmlutils."""
