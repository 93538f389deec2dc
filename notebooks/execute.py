"""Runs the notebooks, one after another in one kernel, and writes them with their outputs: python execute.py FOLDER.

A cell that raises keeps its error among its outputs, and the next notebook follows.
"""

import sys
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
LESSONS = ("shapes", "hello", "series", "here", "directions")
"""In the order in which they are read."""
LANGUAGES = {"en": "", "ko": ".ko"}
"""Each with what stands in a file's name for it."""


def execute(folder: Path) -> None:
    """Writes every notebook as NAME.ipynb and NAME.ko.ipynb."""
    folder.mkdir(parents=True, exist_ok=True)
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        for name in LESSONS:
            for suffix in LANGUAGES.values():
                notebook = jupytext.read(FOLDER / f"{name}{suffix}.md")
                # Most of what a notebook takes is to start Python and import torch: all share one kernel, in which
                # nothing is defined when a notebook begins.
                asked = nbformat.v4.new_code_cell("%reset -f")
                installing = [cell for cell in notebook.cells if "install" in cell.metadata.get("tags", [])]
                said = [cell.source for cell in installing]
                for cell in installing:
                    cell.source = ""
                notebook.cells.insert(0, asked)
                runner = NotebookClient(notebook, km=manager, timeout=120, allow_errors=True)
                runner.kc = client
                runner.execute()
                notebook.cells.remove(asked)
                for cell, source in zip(installing, said, strict=True):
                    cell.source = source
                nbformat.write(notebook, folder / f"{name}{suffix}.ipynb")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    execute(Path(sys.argv[1]))
