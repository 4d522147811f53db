"""Records tests/text/goldens from the reference libraries. The tests themselves need no Python.

    python record_goldens.py --tokenizer <folder with Qwen2's vocab.json and merges.txt>

Needs transformers, tokenizers and jinja2; the versions used are written into the goldens. The random texts come from
an integer hash that random_texts.h computes the same way, so the goldens hold only hashes of the results.
"""

import argparse
import datetime
import json
import pathlib

import jinja2
import tokenizers
import transformers
from transformers.utils import chat_template_utils

from golden_cases import RENDERS, SNIPPETS, VARIABLES

HERE = pathlib.Path(__file__).resolve().parent
MASK = (1 << 64) - 1
NUM_TEXTS = 10000
NUM_ID_LISTS = 1000
NOW = 1718452496  # 2024-06-15 11:54:56 UTC


# --- the random texts: keep in step with random_texts.h ---


class Hash:
    """splitmix64: the i-th number of a seed."""

    def __init__(self, seed):
        self.state = seed

    def next(self, bound):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % bound


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
MARKS = "!?.,;:'\"()[]{}<>/\\|@#$%^&*-_=+`~"
BLANKS = [" ", "  ", "\t", "\n", "\n\n", "\r", "\r\n", "\u00a0", "\u3000", "\u2028", "\u0085", "\u200b", "\x0b", "\x1c"]
WORDS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_start", "|im_end|>", "<|unknown|>", "don't", "I'LL", "'\u017f",
    "'S", "we've", "for (int i = 0; i < n; ++i) {\n", "    return x;\n}", "def f(self):\n\t", "std::vector<int>",
    "你好,世界!", "今天天气很好。", "中华人民共和国", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea",
    "\U0001f44d\U0001f3fd", "\u2764\ufe0f\u200d\U0001f525", "\u212b", "e\u0301", "\u1e9b\u0323", "\ufb01", "\u0958",
    "\ufffd", "3.14159", "https://example.org/a?b=c&d=%20",
]
BLOCKS = [
    0x00C0, 0x0370, 0x0400, 0x0590, 0x0600, 0x0900, 0x0E00, 0x1000, 0x10A0, 0x1E00, 0x2000, 0x2190, 0x2460, 0x3040,
    0xA960, 0xAC00, 0xD7A0, 0xE000, 0xF900, 0xFB00, 0xFF00, 0x10400, 0x11F00, 0x16FF0, 0x1D400, 0x1E900, 0x1F300,
    0x1F600, 0x20000, 0x2F800, 0x2FFE0, 0x31350, 0xE0000, 0x10FFA0,
]


def scalar(number):
    """Half of the surrogates' numbers stand for the character below them, half for the one above."""
    return chr(number if not 0xD800 <= number <= 0xDFFF else 0xD7FF if number < 0xDC00 else 0xE000)


def random_text(seed):
    h = Hash(seed)
    text = ""
    for _ in range(1 + h.next(12)):
        kind = h.next(12)
        if kind == 0:
            for _ in range(1 + h.next(10)):
                text += LETTERS[h.next(52)]
        elif kind == 1:
            for _ in range(1 + h.next(8)):
                text += chr(0x4E00 + h.next(0x51A6))
        elif kind == 2:
            for _ in range(1 + h.next(7)):
                text += chr(0x30 + h.next(10))
        elif kind == 3:
            for _ in range(1 + h.next(6)):
                text += BLANKS[h.next(len(BLANKS))]
        elif kind == 4:
            for _ in range(1 + h.next(5)):
                text += MARKS[h.next(len(MARKS))]
        elif kind == 5:
            for _ in range(1 + h.next(4)):
                text += scalar(h.next(0x110000))
        elif kind == 6:
            text += LETTERS[h.next(52)]
            for _ in range(1 + h.next(4)):
                text += chr(0x300 + h.next(0x70))
        elif kind == 7:
            text += WORDS[h.next(len(WORDS))]
        elif kind == 8:
            text += chr(h.next(0xA0))
        elif kind == 9:
            block = BLOCKS[h.next(len(BLOCKS))]
            for _ in range(1 + h.next(6)):
                text += scalar(block + h.next(96))
        elif kind == 10:
            for _ in range(1 + h.next(3)):
                text += chr(0x1100 + h.next(19)) + chr(0x1161 + h.next(21)) + chr(0x11A7 + h.next(28))
        else:
            text += " " + LETTERS[h.next(52)].lower() * (1 + h.next(40))
    return text


def random_ids(seed):
    h = Hash(seed)
    return [h.next(151700) for _ in range(1 + h.next(40))]


def fnv(data, value=0xCBF29CE484222325):
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


# --- recording ---


def record_tokenizer(folder):
    reference = transformers.AutoTokenizer.from_pretrained(folder)
    assert type(reference).__name__ == "Qwen2Tokenizer", type(reference)
    backend = reference.backend_tokenizer

    texts, id_lists = [], []
    for i in range(NUM_TEXTS):
        text = random_text(i)
        ids = reference(text).input_ids
        assert ids == backend.encode(text).ids
        decoded = reference.decode(ids)
        assert decoded == backend.decode(ids, skip_special_tokens=False)
        value = fnv(b"".join(id.to_bytes(4, "little") for id in ids))
        texts.append(f"{fnv(decoded.encode(), value):016x}")
    for i in range(NUM_ID_LISTS):
        ids = random_ids(1_000_000 + i)
        decoded = backend.decode(ids, skip_special_tokens=i % 2 == 1)
        id_lists.append(f"{fnv(decoded.encode()):016x}")
    return {"texts": " ".join(texts), "id_lists": " ".join(id_lists)}


class FrozenDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)


def record_render(case):
    source = (HERE / "templates" / case["template"]).read_text() if "template" in case else case["source"]
    options = dict(case.get("options", {}))
    options.setdefault("add_generation_prompt", False)
    try:
        rendered, _ = chat_template_utils.render_jinja_template(
            [case.get("messages", [])], chat_template=source, tools=case.get("tools"), documents=case.get("documents"), **options
        )
        return {**case, "output": rendered[0]}
    except jinja2.exceptions.TemplateSyntaxError as e:
        return {**case, "error": "syntax", "line": e.lineno}
    except jinja2.exceptions.TemplateError as e:
        raised = type(e) is jinja2.exceptions.TemplateError
        return {**case, "error": "raised" if raised else "failed", **({"message": e.message} if raised else {})}
    except Exception:
        return {**case, "error": "failed"}


def write(name, content):
    about = {"recorded_with": {m.__name__: m.__version__ for m in (transformers, tokenizers, jinja2)}}
    path = HERE / "goldens" / name
    path.write_text(json.dumps({**about, **content}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(path.name, path.stat().st_size, "bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", help="folder of Qwen2's vocabulary; without it only templates are recorded")
    arguments = parser.parse_args()
    chat_template_utils.datetime = FrozenDatetime
    write("templates.json", {"now": NOW, "cases": [record_render(case) for case in RENDERS]})
    snippets = [record_render({"source": source, "options": VARIABLES}) for source in SNIPPETS]
    for snippet in snippets:
        del snippet["options"]
    write("snippets.json", {"now": NOW, "variables": VARIABLES, "cases": snippets})
    if arguments.tokenizer:
        write("qwen2_tokenizer.json", record_tokenizer(arguments.tokenizer))


if __name__ == "__main__":
    main()
