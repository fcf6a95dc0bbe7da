"""Pages: a widget is there as the picture that it leaves."""

import re

import nbformat

from tools import pages


def test_a_page_shows_the_picture_of_a_widget():
    view = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "x"},
        "image/png": "iVBORw0KGgo=",
        "text/plain": "p",
    }
    cell = nbformat.v4.new_code_cell(
        "show()", outputs=[nbformat.v4.new_output("display_data", data=dict(view))]
    )
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})
    page = pages.with_pictures(notebook)
    assert (
        set(page.cells[0].outputs[0].data) == {"image/png", "text/plain"}
        and "widgets" not in page.metadata
    )
    assert set(notebook.cells[0].outputs[0].data) == set(view)


def test_a_page_asks_no_other_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "BUILD", tmp_path)
    badge = (
        "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://x)"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(badge)])
    path = tmp_path / "01_test.ipynb"
    pages.write_pages([{"path": path, "notebook": notebook, "seconds": 0, "error": ""}])
    page = (tmp_path / "01_test.html").read_text(encoding="utf-8")
    assert re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="http[^>]*>', page) == []
    assert "cdnjs" not in page and ">Open in Colab</a>" in page


def test_links_of_a_page_lead_to_pages_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "BUILD", tmp_path)
    header = "[Course map](../README.md#course-map) | [Glossary](../GLOSSARY.md) | "
    header += "[this](01_test.ipynb) | [a site](https://example.org)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(header)])
    path = tmp_path / "01_test.ipynb"
    pages.write_pages([{"path": path, "notebook": notebook, "seconds": 0, "error": ""}])
    page = (tmp_path / "01_test.html").read_text(encoding="utf-8")
    links = {link for link in re.findall(r'href="([^"#]+)"', page) if ":" not in link}
    assert links == {"index.html", "glossary.html", "01_test.html"}
    assert all((tmp_path / link).is_file() for link in links)
    words = (tmp_path / "glossary.html").read_text(encoding="utf-8")
    assert 'href="05_lora_finetuning.html"' in words and ".ipynb" not in words
