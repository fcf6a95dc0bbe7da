"""Executed notebooks as pages under build/."""

from __future__ import annotations

import copy
import html
import json
import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html

from tools import BUILD, ROOT, find_notebooks

INDEX = """<!doctype html><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>Gemma, hands on</title>
<style>
body { font: 16px/1.5 system-ui; max-width: 46rem; margin: 3rem auto; padding: 0 1rem }
td { padding: .3rem 1rem .3rem 0 }
</style>
<h1>Gemma, hands on</h1><p>"""
HERE = "The notebooks as executed on this machine."
STORED = "The notebooks as the course stores them: read here what you cannot run."

# Of nbconvert's page without its look-ups elsewhere: no notebook has formulas or diagrams for them.
TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_css %}
<style>
.jp-OutputArea-output pre { word-break: normal; overflow-wrap: anywhere }
.jp-RenderedHTMLCommon pre { margin: .5em 0 1em }
.jp-InputArea-editor { overflow-x: auto }
@media (max-width: 600px) {
  .jp-RenderedMarkdown table { display: block; overflow-x: auto }
  body.jp-Notebook { margin: 0; padding: 0 }
}
</style>
{% endblock %}"""


def write_pages(results: list[dict]) -> None:
    """Pages of executed notebooks, and an index of these and of the pages of earlier runs."""
    listing = BUILD / "pages.json"
    states = json.loads(listing.read_text(encoding="utf-8")) if listing.exists() else {}
    for result in results:
        page = write_page(result["notebook"], result["path"].stem, BUILD)
        states[page.stem] = [round(result["seconds"]), result["error"] or "passed"]
    states = {stem: states[stem] for stem in sorted(states) if (BUILD / f"{stem}.html").exists()}
    listing.write_text(json.dumps(states, indent=1), encoding="utf-8")
    rows = [
        f'<tr><td><a href="{stem}.html">{stem}</a><td>{seconds} s<td>{html.escape(state)}'
        for stem, (seconds, state) in states.items()
    ]
    write_index(HERE, rows, BUILD)


def write_stored(folder: Path) -> list[Path]:
    """Pages of all notebooks with their stored outputs, in `folder`, for who cannot run them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = find_notebooks([])
    pages = [write_page(nbformat.read(path, 4), path.stem, folder) for path in paths]
    rows = [f'<tr><td><a href="{page.name}">{page.stem}</a>' for page in pages]
    return [*pages, *write_index(STORED, rows, folder)]


def write_page(notebook, stem: str, folder: Path) -> Path:
    """A notebook as one file that a browser shows without a network."""
    exporter = HTMLExporter(raw_template=TEMPLATE)
    name = {"metadata": {"name": stem}}
    body, _ = exporter.from_notebook_node(with_pictures(notebook), name)
    body = re.sub(r'<img alt="([^"]*)" src="https:[^>]*>', r"\1", body)  # Colab's badge
    page = folder / f"{stem}.html"
    page.write_text(beside(body), encoding="utf-8")
    return page


def write_index(says: str, rows: list[str], folder: Path) -> list[Path]:
    """The page with links to all others, and the glossary."""
    index, glossary = folder / "index.html", folder / "glossary.html"
    index.write_text(f"{INDEX}{says}<table>\n" + "".join(rows) + "</table>", encoding="utf-8")
    words = markdown2html((ROOT / "GLOSSARY.md").read_text(encoding="utf-8"))
    glossary.write_text(INDEX.partition("<h1>")[0] + beside(words), encoding="utf-8")
    return [index, glossary]


def beside(body: str) -> str:
    """`body` with links to the pages of build/ in place of the repository's files."""
    body = re.sub(r'href="(?:notebooks/)?(\d\d_\w+)\.ipynb', r'href="\1.html', body)
    body = body.replace('href="../GLOSSARY.md', 'href="glossary.html')
    return re.sub(r'href="\.\./README\.md[^"]*', 'href="index.html', body)


def with_pictures(notebook):
    """A copy in which every widget is the picture that it leaves: a page has no kernel."""
    found = copy.deepcopy(notebook)
    found.metadata.pop("widgets", None)
    for output in (output for cell in found.cells for output in cell.get("outputs", [])):
        output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return found
