"""Which encoding bytes that are no UTF-8 seem to be in: named only where what they decode to reads like a language.

General detectors take short Japanese for Korean and a single umlaut for Chinese. Here an encoding counts only where
everything beyond ASCII is a letter or sign that its languages use, and enough of it is among their most frequent ones.
"""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from elman.tasks.errors import DataError

SAMPLE = 1 << 20  # bytes that are looked at
LEAST = 2  # different characters beyond ASCII: one alone says nothing
AHEAD = 1.5  # times as good as the next one, or neither is named

SIGNS = "°€£§©®±²³µ·×÷¿¡«»‘’‚“”„†•…–—´¨ºª"
EAST = "　、。〈-】！-～・…‘’“”—￥×÷°·"


@dataclass(frozen=True)
class Encoding:
    """An encoding: what text in it consists of, the characters that are frequent in it, and their least share.

    Args:
        name: as iconv calls it.
        codec: as Python does.
        allowed: a class of a regular expression, of everything beyond ASCII.
        common: the most frequent of these characters, as such a class.
        share: of what is beyond ASCII, that has to be common.
        least: different characters beyond ASCII that there must be.
    """

    name: str
    codec: str
    allowed: str
    common: str
    share: float
    least: int = LEAST

    def score(self, data: bytes) -> float:
        """The share of common characters, relative to the least; 0 where the bytes do not read as this encoding."""
        try:
            text = data.decode(self.codec)
        except UnicodeDecodeError:
            return 0.0
        beyond = re.sub(r"[\x00-\x7f]", "", text)
        if len(set(beyond)) < self.least or re.sub(f"[{self.allowed}]", "", beyond):
            return 0.0
        found = len(re.findall(f"[{self.common}]", beyond)) / len(beyond)
        return found / self.share if found >= self.share else 0.0


KOREAN = (
    "가각간감강개거건것게겠결경계고공과관교구국군그글금기길김까나난날남내너네년노는능니다단당대더데도동되된두드든들"
    "등때라람랑러런럼렇려력로록류르른를름리린마만말맛맞면명모무문물미민바박반받방배번법변별보복본부분불비사산상생서석"
    "선성세소속수순술스슬습시식신실심아안않알압야양어언얼업없에여연열영예오온올와왔요용우운울움원월위유으은을음의이인일"
    "임입있자작잘장재저적전정제조졌존좋주준중즐지직진질짜차참책처천청체초최추출취치친카크키타터테트특파편평포표품프피픔"
    "하학한할함합해행했현형호화확회후히힘"
)
SIMPLE = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家"
    "种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十"
    "民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯"
    "月话合回特代内信表化老给世位次度门任常先海通教儿东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变"
    "四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼"
    "书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切"
    "院让识候带导争运快买价差服质错喜欢温"
)
TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作里用道行所然家"
    "種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十"
    "民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西月"
    "話合回特代內信表化老給世位次度門任常先海通教兒東聲提立及比員解水名真論處走義各入幾口認條平系氣題活更別打女變四神"
    "總何電數安少報才結反受目太量再感建務做接必場件計管期市直資命山金指克許統區保至隊形社便空決治展馬科司五基眼書非則"
    "聽白卻界達光放強即像難且權思王象完設式色路記南品住告類求據程北邊死張該交規萬取拉格望覺術領共確傳師觀清今切院讓識"
    "候帶導爭運快買價差服質錯喜歡溫"
)
KANA, HAN = "ぁ-んァ-ヶー", "一-鿿々"
CYRILLIC = "А-Яа-яЁё"
WESTERN = "ÄÖÜäöüßÀÂÇÈÉÊËÎÏÔÙÛàâçèéêëîïôùûœÑñÁÍÓÚáíóúÅåØøÆæìòãõ"

ENCODINGS = (
    Encoding("CP949", "cp949", f"가-힣{EAST}", KOREAN, 0.4),
    Encoding("EUC-JP", "euc_jp", f"{KANA}{HAN}{EAST}", "ぁ-んァ-ヶー", 0.25),
    Encoding("SHIFT_JIS", "cp932", f"{KANA}{HAN}{EAST}", "ぁ-んァ-ヶー", 0.25),
    Encoding("GB18030", "gb18030", f"{HAN}{EAST}", SIMPLE, 0.2),
    Encoding("BIG5", "big5", f"{HAN}{EAST}", TRADITIONAL, 0.2),
    Encoding("WINDOWS-1251", "cp1251", f"{CYRILLIC}«»–—“”„…№°", "оеаинтсрвл", 0.45, 6),
    Encoding("KOI8-R", "koi8_r", f"{CYRILLIC}°", "оеаинтсрвл", 0.45, 6),
    Encoding("WINDOWS-1252", "cp1252", f"{WESTERN}{SIGNS}", "ÄÖÜäöüßéèêàçñáíóúåøæ°€", 0.6),
)
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def guess(data: bytes) -> str | None:
    """The encoding that bytes seem to be in, as iconv calls it; None where it is not plain.

    Example:
        >>> guess("비가 온다".encode("cp949")), guess("Köln und Düsseldorf".encode("cp1252")), guess(b"\\xff")
        ('CP949', 'WINDOWS-1252', None)
    """
    for mark, name in MARKS.items():
        if data.startswith(mark):
            return name
    if b"\0" in data:  # UTF-16 without its mark, or no text at all
        return None
    ranked = sorted(((encoding.score(data), encoding.name) for encoding in ENCODINGS), reverse=True)
    (best, name), (second, _) = ranked[:2]
    return name if best > AHEAD * second else None


def not_utf8(where: object, error: UnicodeDecodeError, sample: bytes) -> DataError:
    """The error that says which encoding bytes seem to have instead of UTF-8, and what to do.

    Args:
        where: the file, and the line and byte if they are known.
        error: what Python says.
        sample: the file's first bytes, or those around the place; whole lines.
    """
    name = guess(sample)
    seems = f" but seems to be {name}" if name else ""
    mend = f", or: iconv -f {name} -t UTF-8 FILE > NEW" if name else ""
    return DataError(
        f"{where} is not UTF-8{seems} ({error.reason}): save the file as UTF-8 (in Excel: CSV UTF-8){mend}"
    )


def first_not_utf8(file: Path) -> DataError | None:
    """The error for the first line of a file that is not UTF-8, with line and byte; None where all of it is.

    Lines end as in text files of any system: with LF, CR LF or CR.
    """
    number = position = 0
    ascii_so_far = True
    with file.open("rb") as stream:
        for block in stream:
            for line in block.splitlines(keepends=True):
                number += 1
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    # where other lines hold UTF-8, the file is a broken one rather than one in another encoding
                    sample = sample_at(file, position) if ascii_so_far else b""
                    return not_utf8(f"{file}, line {number}, byte {error.start + 1}", error, sample)
                ascii_so_far = ascii_so_far and line.isascii()
                position += len(line)
    return None


def sample_at(file: Path, position: int) -> bytes:
    """The bytes from a place of a file on, 1 MiB at most, and of the last line only what is whole."""
    with file.open("rb") as stream:
        stream.seek(position)
        sample = stream.read(SAMPLE)
    return sample if len(sample) < SAMPLE else sample[: sample.rfind(b"\n") + 1]
