"""What ShadowTwin's rows are made of, ready for COPY: the ordinary, and what breaks migrations.

Among it: text that is empty, looks like NULL, holds tabs and line ends, is not ASCII, differs in invisible ways only;
numbers that are not numbers, negative zero, trailing zeros; infinite dates; arrays with NULLs and odd bounds.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

NULL = r"\N"


def _copy(value: str) -> str:
    """Escaped for COPY's text format."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _texts(*values: str) -> list[str]:
    return [_copy(v) for v in values]


def _jsons(*values: Any) -> list[str]:
    return [_copy(json.dumps(v, ensure_ascii=False)) for v in values]


def mailbox(name: str) -> str:
    """The part of an e-mail address before the @, for a name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().strip().replace(" ", ".")
    return "".join(c for c in plain if c.isalnum() or c == ".").strip(".") or "someone"


# fmt: off
_WORDS = (
    "the", "twin", "remembers", "every", "meeting", "that", "we", "had", "in", "spring", "and", "asks",
    "whether", "budget", "plans", "are", "still", "what", "you", "want", "because", "Jürgen", "said",
    "40", "%", "more", "naïve", "café", "résumé", "Straße", "данные", "привет", "你好", "世界", "こんにちは",
    "שלום", "مرحبا", "👩‍💻", "🚀", "don't", "\"quoted\"", "a\\b", "<b>bold</b>", "{curly}", "$1", "%s", "NULL",
    "'single'", "tomorrow", "maybe", "never", "report", "please", "send", "it", "again",
)
# fmt: on

_ODD = (
    "",
    " ",
    "NULL",
    r"\N",
    r"\.",
    "tab\there",
    "two\nlines",
    "Windows\r\nline",
    "trailing space ",
    "caf\u00e9",
    "cafe\u0301",
    "zero\u200bwidth",
    "\U0001f9d1\u200d\U0001f680 \U00010348 \ufffd",
    "right-to-left \u202eabc\u202c",
    "quote ' \" ` ; -- /* */",
    'O\'Brien, "The" \\ Backslash',
    "x" * 3000,
    "Ünïcödé " * 40,
)

ODD = _texts(*_ODD)
SENTENCES = _texts(
    *(" ".join(_WORDS[(i * 7 + j * 13 + i * j % 11) % len(_WORDS)] for j in range(3 + i % 12)) for i in range(1500)),
)
NAMES = _texts(
    *(
        f"{first} {last}"
        for first in (
            "Ada",
            "Grace",
            "José",
            "Łukasz",
            "Zoë",
            "李",
            "Ольга",
            "نور",
            "Siobhán",
            "Nguyễn",
            "O",
            "Anna-Lena",
        )
        for last in ("Hopper", "Müller", "O'Neill", "de la Cruz", "小龙", "Иванова", "Þórsdóttir", "van den Berg", "Ng")
    )
)
DOMAINS = ("example.com", "Example.ORG", "mail.example.net", "beispiel.example", "example.co.uk")
LOCALES = ("en-US", "de-DE", "pt-BR", "zh-Hant-TW", "ar")
TEAMS = _texts("Research", "Vertrieb", "R&D \\ Lab", "客户成功", 'Team "A"', "")
TWINS = _texts(
    "Sales Twin",
    "Zwilling Nº 1",
    "影の双子",
    "My Twin!",
    "twin",
    "TWIN",
    "Ops — night shift",
    "  padded  ",
    "Ünïcödé",
    "a/b\\c",
)
TITLES = _texts(
    "Quarterly plan", "", "Über die Zukunft", "「計画」", "Re: Re: Fwd: 🚀", "50% off; DROP TABLE", *_ODD[:4]
)
TAGS = _texts("{}", "{beta}", '{beta,"early bird"}', '{"",NULL,"a,b"}', '{"quo\\"te","back\\\\slash"}', "{größe,東京}")
TRAITS = _texts("{}", "{calm}", "{calm,precise,dry}", '{"dry humour",NULL}', "{ß,ẞ,ss}")
SETTINGS = _jsons(
    {},
    {"theme": "dark", "beta": True},
    {"notify": {"mail": ["weekly", None], "push": False}, "zoom": 1.10, "big": 12345678901234567890},
    {"": "", "ключ": "значение", "nested": [[], {}, [{"a": [1, 2.0, -0.0, 1e-9]}]]},
)
PERSONAS = _jsons(
    {"tone": "warm", "facts": []},
    {"tone": "dry", "facts": ["likes tea", "born in Köln"], "age": 41},
    {"tone": None, "limits": {"daily": 100, "ratio": 0.30}, "emoji": "🧠"},
    ["a", "list", {"instead": "of an object"}],
    "only text",
)
LABELS = _jsons([], {"stars": 5}, None, {"tags": ["a", "a"]}, 0, False)
METADATA = _jsons(
    {"model": "gpt-x", "finish": "stop", "usage": {"prompt": 812, "completion": 97}},
    {"model": "gpt-x", "finish": "length", "logprobs": [-0.1, -1e-12, 0]},
    {"tool": {"name": "search", "arguments": '{"q":"a\\\\b"}'}},
)
CHANGES = _jsons({"from": None, "to": "active"}, {"name": ["old \\ name", "new\nname"]}, {})
LINES = _jsons([], [{"text": "Plan “solo”", "net": "19.00", "n": 1}], [{"text": "Seats", "net": 49.50, "n": 3}] * 3)
EMBEDDINGS = _texts("{}", "{0.1,0.2,-0.3}", "{NaN,Infinity,-0}", "{1e-45,3.4028235e38,NULL}")
ADDRESSES = _texts(
    '("Königstraße 1",70173,Stuttgart,DE)', '("1 Main St, Apt ""B""",,"New York",US)', "(,,,)", '("",00000,"",XX)'
)
ADDRESSES_IP = ("10.1.2.3", "192.0.2.255", "2001:db8::1", "198.51.100.0/24", "::ffff:192.0.2.1")
AGENTS = _texts("Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "", "Škoda-Browser/1.0 \\ tab\t")
PATHS = _texts("/", "/twins", "/twins/7/conversations", "/pricing?utm=a%20b", "/résumé", "/a\\b", "")
REFERRERS = _texts("https://search.example/?q=twin", "", "https://пример.example/")
ERRORS = _texts("Timeout after 30 s", "Error: ECONNRESET\n    at Socket.<anonymous> (net.js:1)", "", "файл не найден")
ACTIONS = ("sign-in", "sign-out", "twin.create", "twin.update", "report.request", "plan.change")
FILES = _texts("notes.txt", "Übersicht 2026.pdf", "scan.png", "no-extension", "..\\..\\evil.exe")
BIRTHDAYS = ("1990-05-17", "1904-02-29", "2000-02-29", "1969-12-31", "1582-10-15", "0001-01-01")

FLOATS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "-0",
    "0",
    "5e-324",
    "1.7976931348623157e308",
    "0.1",
    "1e-07",
    "9007199254740993",
)
REALS = ("0.5", "0.1", "-0", "NaN", "1e-45", "3.4028235e38", "16777217", "Infinity")
NUMERICS = (
    "0",
    "0.00",
    "-0.10",
    "100",
    "100.000",
    "NaN",
    "Infinity",
    "0.00000000000000000001",
    "123456789012345678901234567890.123456789",
    "-99999999999999999999999999999999999999",
)
DAYS = ("2024-02-29", "1900-02-28", "0001-01-01", "9999-12-31", "infinity", "-infinity", "0044-03-15 BC", "2026-10-25")
INTERVALS = ("0", "1 mon", "30 days", "720:00:00", "1 year 2 mons 3 days", "-1 days +02:03:04", "00:00:00.000001")
SAMPLES = ("{}", "{NULL}", "{1.5,NULL,NaN}", "{{1,2},{3,4}}", "[0:1]={1,2}", "{-0,0}")

PLANS = [
    "\t".join(plan)
    for plan in (
        ("free", "Free", "0.00", "[0,2)", "[]"),
        ("solo", "Solo", "19.00", "[1,6)", '["reports"]'),
        ("team", "Team", "49.50", "[1,50)", '["reports","sso"]'),
        ("max", "Größte", "9999999999.99", "[1,)", '{"all":true}'),
    )
]
FLAGS = [
    "\t".join(flag)
    for flag in (
        ("new-editor", "t", "100", "{beta}", NULL),
        ("reports-v2", "f", "0", NULL, ""),
        ("dark-mode", "t", "50", "{}", _copy("half\tof all")),
        ("", "f", "0", NULL, "the key is empty"),
        ("Größe", "t", "1", '{"",NULL}', NULL),
        ("GRÖSSE", "f", "99", NULL, NULL),
        ("a b", "t", "10", "{a b}", NULL),
        ("a  b", "t", "10", "{a b}", NULL),
        ("z", "f", "7", NULL, _copy(_ODD[14])),
    )
]
MIGRATIONS = [f"2025{1 + i // 4:02d}{1 + i % 4 * 7:02d}0900_step_{i}\t2025-03-01 09:00:00.{i:06d}" for i in range(41)]
