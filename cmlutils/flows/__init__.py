"""The verbs: export, import, validate, replay, doctor."""
