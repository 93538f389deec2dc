"""An encoding is named only where the bytes decode to what was written."""

import pytest

from elman.tasks.files.encodings import ENCODINGS, first_not_utf8, guess

TEXTS = {
    "cp949": ["문장,감정\n비가 온다,슬픔\n", "비가,y\n", "날짜,기온\n", "이름,국적\n김민수,한국\n"],
    "gb18030": [
        "文本,标签\n今天天气很好,高兴\n",
        "北京,上海\n",
        "日期,温度\n",
        "这个产品质量很好,正面\n物流太慢了,负面\n",
    ],
    "euc_jp": ["文章,感情\n今日はとても楽しい,喜び\n", "雨が降る\n", "日付,気温\n"],
    "cp932": ["文章,感情\n今日はとても楽しい,喜び\n", "カード,料金\n"],
    "big5": ["文本,標籤\n今天天氣很好,高興\n"],
    "cp1252": ["Straße,München\nKöln,Düsseldorf\n", "René,Orléans\nBesançon\n", "El niño comió en Málaga\n"],
    "cp1251": ["текст,метка\nсегодня хорошая погода,радость\n"],
    "koi8_r": ["текст,метка\nсегодня хорошая погода,радость\n"],
    "cp1250": ["Łódź,Kraków\nzażółć gęślą jaźń\n", "Příliš žluťoučký kůň\n"],
    "cp1253": ["καλημέρα,κόσμε\n"],
    "cp1255": ["שלום עולם\n"],
    "cp1254": ["güneşli bir gün\nİstanbul çok güzel\n"],
    "mac_roman": ["Köln,Düsseldorf\n"],
    "utf-16": ["text,label\n"],
}


@pytest.mark.parametrize(("codec", "text"), [(codec, text) for codec, texts in TEXTS.items() for text in texts])
def test_no_encoding_is_named_under_which_a_text_is_another(codec, text):
    name = guess(text.encode(codec))
    assert name is None or text.encode(codec).decode(name) == text


@pytest.mark.parametrize("codec", [encoding.codec for encoding in ENCODINGS] + ["utf-16"])
def test_every_known_encoding_is_named(codec):
    text = TEXTS[codec][0]
    assert text.encode(codec).decode(guess(text.encode(codec))) == text


@pytest.mark.parametrize("data", [b"", b"\xff", b"a\xf6b\n", "temp (°C)\n".encode("latin-1"), bytes(range(256))])
def test_nothing_is_named_where_there_is_too_little_to_tell(data):
    assert guess(data) is None


def test_a_broken_utf8_file_is_not_said_to_be_in_another_encoding(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("비가 온다\n".encode() + "비가 온다\n".encode("cp949"))
    assert str(first_not_utf8(file)).startswith(f"{file}, line 2, byte 1 is not UTF-8 (invalid start byte): save")
