"""Records tests/text/goldens/sentencepiece.json and trains tests/text/goldens/tokenizer.model, a few KB.

    python tests/text/record_sentencepiece_goldens.py [--train]

Needs sentencepiece, protobuf and a transformers before version 5, the last to have the slow LlamaTokenizer (recorded
with 4.46.3). Without --train the model stays as it is. Each case is a folder as published models have it: the
configuration files beside the tokenizer.model, then ids as LlamaTokenizer gives them.

Texts of ids are those of LlamaTokenizerFast, whose rule is one: a single blank is dropped at the start. The slow class
agrees but for its own errors with texts that begin with blanks ("   three" becomes "▁▁▁three") and after added tokens.
Texts of random ids, with bytes that are no characters, are the slow class's, where the first token has one blank at most.
"""

import argparse
import io
import json
import pathlib
import shutil
import tempfile

import numpy
import sentencepiece
import transformers

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE / "goldens" / "tokenizer.model"

TRAINING_TEXT = """The quick brown fox jumps over the lazy dog.
A tokenizer turns a text into numbers, and numbers into a text again.
What is the capital of France? The capital of France is Paris.
USER: Hello! Who are you? ASSISTANT: I am a language model, and I can help you.
def main():
    for index in range(10):
        print("index", index)
今天天气很好，我们去公园散步。
你好，世界！你叫什么名字？我叫小明。
请用中文回答这个问题：法国的首都是哪里？
"""

TEXTS = [
    "",
    " ",
    "  ",
    "   three",
    "Hello",
    " Hello",
    "  Hello  world ",
    "Hello\n",
    "\n",
    "\n\n  indented\n\ttab",
    "trailing   ",
    "The capital of France is Paris.",
    "今天天气很好。",
    "你好，世界！ Hello 世界",
    "罕见字：龘靐齉爩",
    "🙂",
    "a🙂b 👨‍👩‍👧 🇩🇪 👍🏽",
    "e\u0301 \u212b ﬁ ½ ①",
    "\u3000全角\u3000空格",
    "nbsp\u00a0here\u2028line",
    "ZWJ\u200d ZWSP\u200b",
    "▁",
    "▁▁x ▁ y▁",
    "<s>",
    "</s>",
    "<s>Hello",
    "<s> Hello",
    "Hello</s>",
    "Hello </s> world",
    "Hello</s><s>again",
    "<s> <s>  <s>",
    "<unk>",
    "x<unk>y <unk> z",
    "<pad><pad>",
    "<0x0A>",
    "<0x41>B",
    "<s",
    "</s",
    "<<s>>",
    "[INST] Hello [/INST]",
    "USER: Hello ASSISTANT: Hi</s>USER: again ASSISTANT:",
    "<|im_start|>user\nHi<|im_end|>\n",
    "<|im_start|> <|im_end|>",
    "a <think> b </think> c",
    "<think>\n</think>\n\nHi",
    "<wide>  both  <wide>x<wide> y",
    "word<word>word <word> word<word> <word>word",
    "    for index in range(10):\n        print(index)\n",
    "http://example.org/a?b=c&d=%20",
    "1234567890 3.14159",
    "MiXeD CaSe",
    "\u0000nul\u0000",
    "\u0001\u001f\u007f\u0085",
    "\ufffd",
    "\ufeffBOM",
    "\U0010ffff",
    "ab" * 100,
    " " * 40,
]

OLD = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
NEXT = 420  # the first id beyond the pieces


def added(content, special=False, **flags):
    return {"content": content, "special": special, "normalized": False} | {
        key: flags.get(key, False) for key in ("lstrip", "rstrip", "single_word")
    }


CASES = {
    # As Vicuna 1.5 and Llama 2 were published: no "legacy", special tokens in a file of their own.
    "vicuna": {
        "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False},
        "special_tokens_map.json": {
            "bos_token": added("<s>", normalized=True),
            "eos_token": added("</s>", normalized=True),
            "unk_token": added("<unk>", normalized=True),
            "pad_token": "<unk>",
        },
    },
    "added_tokens_file": {
        "tokenizer_config.json": OLD | {"add_eos_token": True},
        "special_tokens_map.json": {"additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "pad_token": "<pad>"},
        "added_tokens.json": {"<think>": NEXT, "<|im_start|>": NEXT + 1, "<|im_end|>": NEXT + 2, "<pad>": NEXT + 3},
    },
    # As Mistral 7B v0.1 was saved later on.
    "not_legacy": {
        "tokenizer_config.json": OLD
        | {
            "legacy": False,
            "added_tokens_decoder": {
                "0": added("<unk>", True),
                "1": added("<s>", True),
                "2": added("</s>", True),
                str(NEXT): added("<|im_start|>", True),
                str(NEXT + 1): added("<|im_end|>", True),
                str(NEXT + 2): added("<think>"),
                str(NEXT + 3): added("</think>"),
                str(NEXT + 4): added("<wide>", lstrip=True, rstrip=True),
                str(NEXT + 5): added("<word>", single_word=True),
            },
        }
    },
    "no_prefix_space": {
        "tokenizer_config.json": OLD | {"legacy": False, "add_prefix_space": False, "add_bos_token": False},
    },
    "no_files": {},
}


def train():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAINING_TEXT.splitlines() * 3),
        model_writer=model,
        model_type="bpe",
        vocab_size=NEXT,
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        num_threads=1,
        minloglevel=2,
    )
    MODEL.write_bytes(model.getvalue())


def record(files):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.copy(MODEL, folder / "tokenizer.model")
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content))
        reference = transformers.LlamaTokenizer.from_pretrained(folder)
        fast = transformers.LlamaTokenizerFast.from_pretrained(folder)
    texts = []
    decode = {"skip_special_tokens": True, "spaces_between_special_tokens": False}
    for text in TEXTS:
        ids = reference(text).input_ids
        plain = reference(text, add_special_tokens=False).input_ids
        texts.append({"text": text, "ids": ids, "plain": plain, "decoded": fast.decode(plain, **decode)})
    id_lists = []
    random = numpy.random.default_rng(7)
    while len(id_lists) < 100:
        ids = random.integers(0, len(reference), random.integers(1, 12)).tolist()
        tokens = reference.convert_ids_to_tokens(ids, skip_special_tokens=True)
        added = set(reference.get_added_vocab()) - set(reference.all_special_tokens)
        if tokens and not tokens[0].startswith("▁▁") and tokens[0] != "▁" and not added & set(tokens):
            id_lists.append({"ids": ids, "decoded": reference.decode(ids, **decode)})
    return {"files": files, "size": len(reference), "texts": texts, "id_lists": id_lists}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", action="store_true", help="train the model again")
    if parser.parse_args().train:
        train()
    golden = {
        "recorded_with": {m.__name__: m.__version__ for m in (transformers, sentencepiece)},
        "cases": {name: record(files) for name, files in CASES.items()},
    }
    path = HERE / "goldens" / "sentencepiece.json"
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")
    print(path.name, path.stat().st_size, "bytes;", MODEL.name, MODEL.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
