"""Pages: a widget is there as the picture that it leaves."""

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
