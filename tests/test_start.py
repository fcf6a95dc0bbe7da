"""The first cell: four lines, no token, and a stop where something moved."""

import os
import sys
import types

import pytest

from gemma_lab import install, start


def test_setup_stops_where_something_loaded_moved(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", types.SimpleNamespace(__version__="18.1.0"))
    monkeypatch.setattr(install, "version", lambda name: "26.0.0" if name == "pyarrow" else None)
    with pytest.raises(install.SetupError, match="Restart the kernel .*: pyarrow changed") as error:
        start.setup()
    assert "\n" not in str(error.value) and "Profile" not in capsys.readouterr().out


def test_setup_prints_at_most_four_lines_and_never_the_token(monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    assert start.setup() == "pocket"  # conftest.py asks for this profile
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) <= 4
    assert "Profile:  pocket" in printed and "hf_" not in printed
    assert os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"
