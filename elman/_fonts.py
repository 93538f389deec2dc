"""Fonts for pictures: what people label is often in Korean, and matplotlib's own font has no Korean letters."""

import functools
from pathlib import Path

KOREAN = ("NanumGothic", "Nanum Gothic", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "Apple SD Gothic Neo")


@functools.cache
def fonts() -> list[str]:
    """matplotlib's own font, and one with Korean letters where there is one."""
    from matplotlib import font_manager, rcParams

    def known() -> list[str]:
        names = {font.name for font in font_manager.fontManager.ttflist}
        return [name for name in KOREAN if name in names]

    if not known():  # matplotlib keeps a list of fonts, and does not look again when one was installed since
        for path in font_manager.findSystemFonts():
            if any(name.replace(" ", "").lower() in Path(path).stem.replace("-", "").lower() for name in KOREAN):
                font_manager.fontManager.addfont(path)
    return [*rcParams["font.family"], *known()]
