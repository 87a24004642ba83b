"""Time-outs for requests that hang on purpose."""

import pytest

from cmlutils.remote import http


@pytest.fixture(autouse=True)
def short_time_outs(monkeypatch):
    monkeypatch.setattr(http, "TIMEOUTS", (5.0, 0.5))
    monkeypatch.setattr(http, "SHORT_TIMEOUTS", (5.0, 0.5))
