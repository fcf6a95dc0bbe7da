"""Executed notebooks as pages under build/."""

from __future__ import annotations

import copy
import html
import json
import re

from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html

from tools import BUILD, ROOT

INDEX = """<!doctype html><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>Gemma, hands on</title>
<style>
body { font: 16px/1.5 system-ui; max-width: 46rem; margin: 3rem auto; padding: 0 1rem }
td { padding: .3rem 1rem .3rem 0 }
</style>
<h1>Gemma, hands on</h1><p>The notebooks as executed on this machine.<table>
"""

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
    exporter = HTMLExporter(raw_template=TEMPLATE)
    for result in results:
        page = BUILD / f"{result['path'].stem}.html"
        name = {"metadata": {"name": result["path"].stem}}
        body, _ = exporter.from_notebook_node(with_pictures(result["notebook"]), name)
        body = re.sub(r'<img alt="([^"]*)" src="https:[^>]*>', r"\1", body)  # Colab's badge
        page.write_text(beside(body), encoding="utf-8")
        states[page.stem] = [round(result["seconds"]), result["error"] or "passed"]
    states = {stem: states[stem] for stem in sorted(states) if (BUILD / f"{stem}.html").exists()}
    listing.write_text(json.dumps(states, indent=1), encoding="utf-8")
    rows = [
        f'<tr><td><a href="{stem}.html">{stem}</a><td>{seconds} s<td>{html.escape(state)}'
        for stem, (seconds, state) in states.items()
    ]
    (BUILD / "index.html").write_text(INDEX + "".join(rows) + "</table>", encoding="utf-8")
    words = markdown2html((ROOT / "GLOSSARY.md").read_text(encoding="utf-8"))
    page = INDEX.partition("<h1>")[0] + beside(words)
    (BUILD / "glossary.html").write_text(page, encoding="utf-8")


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
