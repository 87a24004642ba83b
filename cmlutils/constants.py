"""The few names that the user's document speaks of.

LEGACY_ENGINE_MAP says which runtime image takes the place of a legacy engine's kernel. Make it an empty map to
keep such projects on engines (the target's default engine image). `engine-map.yaml` in the configuration folder
overrides it, without an edit here. A kernel that is not listed uses `default`, if that is of the same language.
"""

LEGACY_ENGINE_MAP: dict[str, str] = {
    "python3": "docker.repository.cloudera.com/cloudera/cdsw/ml-runtime-workbench-python3.9-standard:2023.05.2-b7",
    "python2": "docker.repository.cloudera.com/cloudera/cdsw/ml-runtime-workbench-python3.9-standard:2023.05.2-b7",
    "r": "docker.repository.cloudera.com/cloudera/cdsw/ml-runtime-workbench-r4.1-standard:2023.05.2-b7",
    "scala": "docker.repository.cloudera.com/cloudera/cdsw/ml-runtime-workbench-scala2.11-standard:2023.05.2-b7",
    "default": "docker.repository.cloudera.com/cloudera/cdsw/ml-runtime-workbench-python3.9-standard:2023.05.2-b7",
}
