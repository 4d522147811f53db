"""Greedy answers of the demo model to every held-out prompt; prints the share right per category and language.

    python evaluate.py [--show-wrong] [--ask "text" ...]

An item is right when the stripped answer equals one text of "accept", or, where the item has "contains", holds all its texts.
"""

import argparse
import collections
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent


def is_right(item, answer):
    if "contains" in item:
        return all(text in answer for text in item["contains"])
    return answer in item["accept"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show-wrong", action="store_true")
    parser.add_argument("--ask", nargs="+", help="one conversation: print the answer to each of these messages in turn")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(HERE)  # AutoTokenizer 5.x puts Qwen2's own rules in place of tokenizer.json's
    model = AutoModelForCausalLM.from_pretrained(HERE, dtype=torch.float32).eval()

    @torch.no_grad()
    def answer(messages):
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=128)
        return tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True).strip()

    if options.ask:
        messages = []
        for text in options.ask:
            messages.append({"role": "user", "content": text})
            messages.append({"role": "assistant", "content": answer(messages)})
            print(f"> {text}\n{messages[-1]['content']}")
        return
    right, total = collections.Counter(), collections.Counter()
    for line in open(HERE / "heldout.jsonl", encoding="utf-8"):
        item = json.loads(line)
        got = answer(item["messages"])
        for key in (item["category"], f"{item['category']} {item['lang']}", "all"):
            total[key] += 1
            right[key] += is_right(item, got)
        if options.show_wrong and not is_right(item, got):
            print(f"{item['category']} {item['lang']}: {item['messages'][-1]['content']!r} -> {got!r}, expected {item.get('accept') or item['contains']}")
    print(f"{'category':<12}{'items':>6}{'right':>8}{'en':>8}{'zh':>8}")
    for key in [k for k in total if " " not in k and k != "all"] + ["all"]:
        by_lang = "".join(f"{right[f'{key} {lang}'] / total[f'{key} {lang}']:8.1%}" for lang in ("en", "zh")) if key != "all" else ""
        print(f"{key:<12}{total[key]:>6}{right[key] / total[key]:8.1%}{by_lang}")
    sys.exit(0 if right["all"] >= 0.95 * total["all"] else 1)


if __name__ == "__main__":
    main()
