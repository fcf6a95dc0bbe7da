"""tools/install.py: the whole list with pip, in the open, without what is left out."""

import sys

import gemma_lab.install
from tools import install


def test_the_list_is_installed_without_what_is_left_out(monkeypatch):
    asked = []
    monkeypatch.setattr(install, "install", lambda pins, run: asked.extend(pins))
    assert install.main() == 0
    names = {requirement.name for requirement in asked}
    assert {"torch", "unsloth", "ruff"} <= names and not names & {"torchao", "xformers"}


def test_what_pip_prints_is_shown_and_its_failure_is_the_exit_status(monkeypatch, capfd):
    script = "print('No space left on device'); raise SystemExit(1)"
    monkeypatch.setattr(
        install,
        "install",
        lambda pins, run: gemma_lab.install._run([sys.executable, "-c", script], run),
    )
    assert install.main() == 1
    assert capfd.readouterr().out == "No space left on device\n"
