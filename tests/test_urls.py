"""Addresses of workspaces: which spellings mean the same workspace."""

import pytest

from cmlutils.bundle import Bundle
from cmlutils.flows.copying.pushed import PushMemory
from cmlutils.urls import same_workspace


@pytest.mark.parametrize("other", ["http://ml.example.com", "https://ML.Example.com/", "https://ml.example.com:443"])
def test_a_workspace_is_known_however_its_address_is_spelled(tmp_path, other):
    assert same_workspace("https://ml.example.com", other)
    bundle = Bundle(tmp_path)
    assert bundle.journal("https://ml.example.com", "dana").path == bundle.journal(other, "dana").path
    bundle.state.mkdir()
    PushMemory(bundle.state, "https://ml.example.com", "dana/p").settle([])
    before = {*bundle.state.iterdir()}
    PushMemory(bundle.state, other, "dana/p").settle([])
    assert {*bundle.state.iterdir()} == before


@pytest.mark.parametrize("other", ["https://ml.example.com:80", "https://ml.example.com/two", "https://ml.example.org"])
def test_another_workspace_is_another(tmp_path, other):
    assert not same_workspace("https://ml.example.com", other)
    bundle = Bundle(tmp_path)
    assert bundle.journal("https://ml.example.com", "dana").path != bundle.journal(other, "dana").path
