"""Makes the pictures of explain.md anew: `python docs/pictures.py`. It needs Debian's chromium and a Korean font."""

import shutil
import tempfile
from pathlib import Path

import torch
from matplotlib import pyplot
from playwright.sync_api import sync_playwright

import elman
from elman.explain._examples import EXAMPLES
from elman.explain._trace import Trace

PICTURES = Path(__file__).parent / "pictures"
WIDE, NARROW = {"width": 1360, "height": 860}, {"width": 375, "height": 780}
PAGES = {
    # picture: example, address, screen, language, colours, what is pressed
    "wide-en": ("hello-fixed", "#t=4&row=l0&pin=l0.4", WIDE, "en-US", "light", None),
    "wide-ko": ("directions", "#t=0&row=l2r", WIDE, "ko-KR", "light", None),
    "wide-dark": ("characters", "#t=8&row=l0&unit=10", WIDE, "en-US", "dark", None),
    "backward": ("series", "#t=45&row=l1&back=1", WIDE, "en-US", "light", None),
    "backward-ko": ("series", "#t=45&row=l1&back=1", WIDE, "ko-KR", "light", None),
    "gates": ("lstm-keeps", "#t=7&row=l0c&gate=f", WIDE, "en-US", "light", None),
    "gates-ko": ("lstm-keeps", "#t=7&row=l0c&gate=f", WIDE, "ko-KR", "light", None),
    "narrow-en": ("here", "#t=1&row=l0", NARROW, "en-US", "light", None),
    "narrow-ko": ("hello-fixed", "#t=2&row=l0", NARROW, "ko-KR", "dark", "#tour-open"),
}


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    figures()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (example, address, screen, locale, scheme, pressed) in PAGES.items():
            file = Path(folder) / f"{example}.html"
            trace = trained() if example == "characters" else EXAMPLES[example]()
            trace.save(file)
            scale = 1 if screen is WIDE else 2
            page = browser.new_page(viewport=screen, locale=locale, color_scheme=scheme, device_scale_factor=scale)
            page.goto(f"{file.as_uri()}{address}")
            if pressed:
                page.click(pressed)
            page.wait_for_timeout(1000)
            page.screenshot(path=PICTURES / f"{name}.png")
            page.close()


def trained() -> Trace:
    from elman.cli.demo import topics
    from elman.explain import _gallery

    return _gallery.trained(topics())


def figures() -> None:
    """The four figures of a layer that has learned a little."""
    trace = EXAMPLES["series"]()
    figure, axes = pyplot.subplots(2, 2, figsize=(13, 8.5), layout="constrained")
    trace.plot_network(axes[0, 0])
    trace.plot_hidden(axes[0, 1])
    trace.plot_activations(axes[1, 0])
    trace.plot_sensitivity(axes[1, 1])
    figure.savefig(PICTURES / "figures.png", dpi=100)
    both = elman.RNN(5, 8, 2, bidirectional=True)
    torch.manual_seed(0)
    drawing = elman.trace(both, torch.randn(7, 5)).plot_network()
    drawing.ax.figure.savefig(PICTURES / "network.png", dpi=90)


if __name__ == "__main__":
    main()
