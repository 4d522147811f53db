"""Makes the tokenizer of the demo model: tokenizer.json, tokenizer_config.json.

Text is cut into words (with the space before them), single digits, single marks and single non-Latin characters. A word of the
fixed phrasings is one token; every other word falls apart into its letters, as there are no merges. So the model sees
the letters of what it must spell, reverse or remember, and the digits of what it must add. All 256 bytes are tokens: any text
survives encoding and decoding unchanged.

    python train_tokenizer.py
"""

import collections
import json
import pathlib
import re

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

import dialogs

HERE = pathlib.Path(__file__).parent
VOCAB_SIZE = 1728  # a multiple of 64, so the head splits evenly over cards
DIALOGS = 60000
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CUT = r" ?[A-Za-z]+| [+=-]|\s|[^\sA-Za-z]"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\\n" + dialogs.SYSTEM_PROMPT + "<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def byte_alphabet():
    """GPT-2's printable stand-in for each byte, in byte order."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    stand_in, extra = {}, 0
    for byte in range(256):
        if byte in keep:
            stand_in[byte] = chr(byte)
        else:
            stand_in[byte] = chr(256 + extra)
            extra += 1
    return stand_in


def main():
    stand_in = byte_alphabet()
    printable = lambda text: "".join(stand_in[b] for b in text.encode())

    pieces = collections.Counter()
    source = dialogs.Dialogs(seed=7, plain=True)
    for _ in range(DIALOGS):
        for message in source.dialog():
            pieces.update(re.findall(CUT, message["content"]))
    letters_only = {w.lower() for w in dialogs.WORDS} | {n.lower() for n in dialogs.NAMES}
    for char in dialogs.ZH_SURNAMES + dialogs.ZH_GIVEN + "".join(dialogs.ZH_WORDS + dialogs.ZH_NICK):
        pieces[char] += 10**6  # always a token
    for piece in ("system", "user", "assistant"):
        pieces[piece] += 10**6
    wanted = [p for p, n in pieces.most_common()
              if n >= 4 and len(p.encode()) > 1 and p.strip() and p.strip().lower() not in letters_only
              and not (p.isupper() and len(p.strip()) > 1) and not re.fullmatch(r" ?[a-z]", p)]

    vocab = {}
    for byte in range(256):
        vocab[stand_in[byte]] = len(vocab)
    for piece in wanted:
        if len(vocab) == VOCAB_SIZE - len(SPECIAL):
            break
        vocab.setdefault(printable(piece), len(vocab))
    if len(vocab) != VOCAB_SIZE - len(SPECIAL):
        raise SystemExit(f"only {len(vocab)} pieces, lower VOCAB_SIZE")

    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], ignore_merges=True))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(CUT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tokenizer.save(str(HERE / "tokenizer.json"))

    ids = {t: tokenizer.token_to_id(t) for t in SPECIAL}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "added_tokens_decoder": {str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
                                 for t, i in ids.items()},
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1024,
        "chat_template": CHAT_TEMPLATE,
    }
    (HERE / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    for text in ["What is the capital of France?", "spell apple", "我叫小明，17加25等于多少？", "emoji 🙂\tand naïve\n\n  façade", "龘靐齉"]:
        encoded = tokenizer.encode(text)
        assert tokenizer.decode(encoded.ids) == text, text
        print(len(encoded.ids), encoded.tokens)
    cut_off = [p for p in wanted if printable(p) not in vocab]
    print(f"{tokenizer.get_vocab_size()} tokens; {len(wanted)} pieces wanted; left out: {cut_off[:60]}")


if __name__ == "__main__":
    main()
