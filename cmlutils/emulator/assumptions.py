"""The emulator's behaviours for which there is no evidence, each with a name and a switch.

"ASSUMED" in this package means that no public capture of a workspace's replies shows the behaviour. Rehearse with these
switched off as well, since the real workspace may lack them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Assumptions:
    """Behaviours that no public capture proves; True means that the emulated workspace has them."""

    job_patch: bool = True
    """PATCH …/jobs/{id} exists in v1."""
    job_parent_id: bool = True
    """v1 takes a job's parent under the key ``parent_id``."""
    job_parent: bool = True
    """v1 takes a job's parent under the key ``parent``."""
    job_paused: bool = True
    """v1 honours ``paused`` at create and PATCH, and echoes it (never on CDSW)."""
    job_paused_shown: bool = True
    """GET of a job in v1 shows ``paused``; without this, only v2 shows it."""
    arming_keeps_pause: bool = True
    """A paused job that gets a schedule or a parent stays paused."""
    job_notifications: bool = True
    """GET …/jobs/{id} shows ``notifications``."""
    addons_on_read: bool = True
    """GET of a job or application, and a model build, show their ``addons``."""
    application_stop: bool = True
    """PUT …/applications/{id}/stop exists."""
    application_patch: bool = True
    """PATCH …/applications/{id} exists."""
    application_public_id: bool = True
    """GET of an application shows its ``public_identifier``."""
    dashboard_stop: bool = True
    """PUT …/dashboards/{id}/stop works for an application's engine."""
    model_stop: bool = True
    """The verb stop-model exists."""
    model_restart: bool = True
    """The verb restart-model exists."""
    model_update: bool = True
    """The verb update-model exists."""
    explicit_auto_false: bool = True
    """create-model honours an explicit autoBuildModel / autoDeployModel false."""
    build_at_create: bool = True
    """create-model can build without deploying; without this, it does neither then, and only build-model builds."""
    build_without_deploy: bool = True
    """build-model honours an explicit autoDeployModel false; without this, every build is deployed."""
    model_auth_at_create: bool = True
    """create-model honours ``authEnabled``; without this, only set-model-auth changes it."""
    model_settings_on_read: bool = True
    """A model shows its ``visibility`` and its ``defaultReplicationPolicy``."""
    project_patch: bool = True
    """PATCH of a project takes name, description and shared_memory_limit."""
    project_create_settings: bool = True
    """POST of a project takes description, default_project_engine_type and shared_memory_limit."""
    team_project_create: bool = True
    """POST /users/{team}/projects creates a project in the team."""
    v2_key_on_v1: bool = True
    """CML accepts a v2 key in v1, in place of a legacy key."""

    def without(self, *names: str) -> Assumptions:
        """Return a copy with these behaviours absent; raise ValueError for an unknown name."""
        for name in names:
            if name not in assumption_names():
                raise ValueError(f"no assumption is called {name!r}; there are {', '.join(assumption_names())}")
        return replace(self, **dict.fromkeys(names, False))


@dataclass
class Switches:
    """Behaviours that are proven, but differ from workspace to workspace."""

    environment_as_string: bool = False
    """Jobs and applications show their environment as a JSON string."""
    environment_wanted_as_string: bool = False
    """A create request must give the environment as a JSON string."""
    unauthenticated_applications: bool = False
    """The site allows applications without authentication."""
    no_v2: bool = False
    """There is no API v2."""


def assumption_names() -> list[str]:
    """Return the names that Assumptions.without and ``--without`` accept."""
    return [field.name for field in fields(Assumptions)]
