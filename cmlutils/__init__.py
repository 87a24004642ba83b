"""cmlutil moves projects from a CDSW or CML workspace to a CML workspace.

The house, floor by floor; a module imports from its own floor or below, never up:

    4  cli/       words to calls; results to words and exit codes
    3  flows/     the verbs: export, import, validate, replay, doctor
    2  remote/    the doors: http, v1 and v2 API, process, cdswctl, tunnel, rsync
    1  core       the nouns: sections, bundles, workloads, runtimes, rules
    0  errors, constants, log, screen
       emulator/  the cellar: a stand-in workspace; shares nothing with the floors above
"""

__version__ = "2.0.0.dev0"
TOOL = f"cmlutil {__version__}"  # as bundles and reports name it
