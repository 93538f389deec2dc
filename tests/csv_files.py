"""Random CSV files: quotes, separators, line ends, encodings, and rows that are too short, too long or blank."""

import csv
import io
import random

SEPARATORS = ",;\t|"
ENDS = ("\n", "\r\n", "\r")
ENCODINGS = (*["utf-8"] * 8, *["utf-8-sig"] * 4, "cp949", "cp1252", "gb18030", "utf-16", "utf-16-le", "euc_jp")
WORDS = (
    "sun",
    "비",
    "雨",
    "Köln",
    "a b",
    "  ",
    "x",
    "0",
    "-1.5",
    "1e3",
    "NA",
    "'",
    "#",
    "\\",
    "\u2028",
    "\x0b",
    "NULL",
)
HARD = ('"', '5" pipe', '""', '"quoted"', 'end"', '" begin', ",", ";", "\t", "|", ", and ", "1,5", "a;b")
BREAKS = ("\n", "\r\n", "\r", "two\nlines", "one\r")
HEADERS = ("text", "label", "notes", "문장", "temp, in C", "a;b", 'size (5")', "x y")


def make(seed: int) -> tuple[bytes, str, str]:
    """A file, the encoding it is in, and its separator."""
    rng = random.Random(seed)
    separator, end = rng.choice(SEPARATORS), rng.choice(ENDS)
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, None))  # None: nothing is quoted, whatever it holds
    columns = rng.randint(2, 5)
    out = io.StringIO(newline="")
    proper = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting or csv.QUOTE_MINIMAL)

    def write(row: list[str], quoted: bool) -> None:
        if quoted:
            proper.writerow(row)
        else:
            out.write(separator.join(row) + end)

    def value() -> str:
        kinds = (WORDS, WORDS, WORDS, HARD, BREAKS) if quoting is not None else (WORDS, WORDS, WORDS, HARD[:6])
        words = [rng.choice(rng.choice(kinds)) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        return rng.choice(("", " ")).join(words)

    write(rng.sample(HEADERS, columns), quoted=True)
    for _ in range(rng.randint(1, 40)):
        row = [value() for _ in range(columns)]
        trouble = rng.random()
        if trouble < 0.02:
            out.write(rng.choice((end, separator * (columns - 1) + end)))
        elif trouble < 0.03:
            write(row[:-1], quoting is not None)
        elif trouble < 0.032:
            write([*row, "more"], quoting is not None)
        elif trouble < 0.035:
            write(row, quoted=False)
        else:
            write(row, quoting is not None)
    text = out.getvalue()
    text = text if rng.random() < 0.7 else text.removesuffix(end)
    encoding = rng.choice(ENCODINGS)
    return text.encode(encoding, "replace"), encoding, separator
