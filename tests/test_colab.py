"""The stand-in for a machine on Colab: its copy of an environment, and its one notebook."""

from tools import colab


def test_a_disk_without_hard_links_gets_copies(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("text")
    colab.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").samefile(tmp_path / "a")
    monkeypatch.setattr(
        colab.os, "link", lambda *names: (_ for _ in ()).throw(OSError(95, "not supported"))
    )
    colab.link_or_copy(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "text" and not (tmp_path / "c").samefile(tmp_path / "a")
