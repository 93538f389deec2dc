"""elman explain: a page that shows every number of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli import options
from elman.explain._examples import EXAMPLES
from elman.tasks.errors import UserError
from elman.tasks.files.places import free_path, refuse_existing

if TYPE_CHECKING:
    from elman.explain._trace import Trace


def explain(
    run: Annotated[
        Path | None, typer.Argument(help="A run folder of `elman train text`.", metavar="RUN", show_default=False)
    ] = None,
    text: Annotated[str | None, typer.Option(help="What the model reads, one character a step.")] = None,
    seed: Annotated[
        str | None, typer.Option(help=f"A built-in example in place of RUN: {', '.join(EXAMPLES)}.", metavar="NAME")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page to write.  [default: page.html]")
    ] = None,
    gallery: Annotated[
        Path | None, typer.Option(help="Write the pages of all examples into this folder.", metavar="FOLDER")
    ] = None,
    overwrite: options.Overwrite = False,
    device: options.Device = "cpu",
) -> dict[str, Any]:
    """Write a page that shows what a model computes, number by number. It needs no network: open it in a browser."""
    if sum(choice is not None for choice in (run, seed, gallery)) != 1:
        raise UserError("give one of a RUN folder with --text, --seed with the name of an example, or --gallery FOLDER")
    if gallery is not None:
        return {"pages": _write_gallery(gallery)}
    if output is None:
        output = free_path(Path("page.html"))
    refuse_existing(output, overwrite=overwrite)
    if seed is not None:
        if text is not None:
            raise UserError("--text goes with a RUN folder; the example of --seed has its own input")
        if seed not in EXAMPLES:
            raise UserError(f"there is no example {seed}: --seed is one of {', '.join(EXAMPLES)}")
        trace = EXAMPLES[seed]()
    else:
        trace = _trace_run(run, text, device)
    try:
        trace.save(output)
    except ValueError as error:  # larger than a page may be
        raise UserError(str(error)) from error
    _say(output)
    print(f"next: open {output} in a browser")
    return {"pages": [str(output)]}


def _trace_run(run: Path | None, text: str | None, device: str) -> "Trace":
    if text is None:
        raise UserError("a RUN folder needs --text: what is the model to read?")

    from elman.explain._characters import trace_text
    from elman.tasks.text import run as text_runs

    assert run is not None
    model, vocabulary = text_runs.load_model(run, device=device)
    return trace_text(model, vocabulary, text)


def _write_gallery(folder: Path) -> list[str]:
    from elman.cli.demo import topics
    from elman.explain._gallery import gallery

    pages = []
    for page in gallery(folder, topics()):
        _say(page)
        pages.append(str(page))
    print(f"next: open {folder / 'index.html'} in a browser")
    return pages


def _say(page: Path) -> None:
    print(f"{page}: {page.stat().st_size / 1000:,.0f} KB", flush=True)
