"""Trains the demo model and writes config.json, generation_config.json and model.safetensors beside this file.

One command, about an hour on two quiet cores:

    python train_tokenizer.py && python dialogs.py --heldout && python train.py

A checkpoint every two minutes in --work lets the same command go on after a stop. Where the checkpoint is lost, --weights and
--done go on from exported weights; the optimizers then start afresh.
"""

import argparse
import json
import math
import pathlib
import random
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn

import dialogs

HERE = pathlib.Path(__file__).parent
SEED = 20240607
LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD_DIM, INTERMEDIATE = 6, 128, 8, 4, 16, 384
THETA, EPS, MAX_POSITIONS = 10000.0, 1e-6, 1024


class RmsNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * self.weight


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(HIDDEN, HEADS * HEAD_DIM)
        self.k_proj = nn.Linear(HIDDEN, KV_HEADS * HEAD_DIM)
        self.v_proj = nn.Linear(HIDDEN, KV_HEADS * HEAD_DIM)
        self.o_proj = nn.Linear(HEADS * HEAD_DIM, HIDDEN, bias=False)

    def forward(self, x, cos, sin):
        n, t, _ = x.shape
        split = lambda y, heads: y.view(n, t, heads, HEAD_DIM).transpose(1, 2)
        q = rotate(split(self.q_proj(x), HEADS), cos, sin)
        k = rotate(split(self.k_proj(x), KV_HEADS), cos, sin)
        v = split(self.v_proj(x), KV_HEADS)
        k, v = (y.repeat_interleave(HEADS // KV_HEADS, dim=1) for y in (k, v))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).reshape(n, t, HEADS * HEAD_DIM))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = nn.Linear(HIDDEN, INTERMEDIATE, bias=False)
        self.up_proj = nn.Linear(HIDDEN, INTERMEDIATE, bias=False)
        self.down_proj = nn.Linear(INTERMEDIATE, HIDDEN, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm, self.self_attn = RmsNorm(HIDDEN), Attention()
        self.post_attention_layernorm, self.mlp = RmsNorm(HIDDEN), Mlp()


class Model(nn.Module):
    """Qwen2 with tied embeddings; parameter names as in its checkpoints, less the leading "model."."""

    def __init__(self, vocab_size):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, HIDDEN)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = RmsNorm(HIDDEN)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                std = 0.02 if "embed" in name else 1 / math.sqrt(p.shape[1])
                nn.init.normal_(p, std=0.0 if name.endswith(("o_proj.weight", "down_proj.weight")) else std)
            elif name.endswith("bias"):
                nn.init.zeros_(p)
        angle = torch.arange(MAX_POSITIONS).float()[:, None] * THETA ** (-torch.arange(0, HEAD_DIM, 2).float() / HEAD_DIM)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, ids, rows=None):
        """Logits at the chosen flat positions `rows` (all where None)."""
        x = self.embed_tokens(ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for layer in self.layers:
            x = x + layer.self_attn(layer.input_layernorm(x), cos, sin)
            if layer is self.layers[-1]:
                x = x.flatten(0, 1) if rows is None else x.flatten(0, 1)[rows]
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return F.linear(self.norm(x), self.embed_tokens.weight)


def orthogonal(g):
    """The nearest matrix with all singular values near one: Newton-Schulz, five rounds (Jordan et al., Muon, 2024)."""
    flip = g.shape[-2] > g.shape[-1]
    x = g.mT if flip else g
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if flip else x


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal; for the matrices inside the layers. Same shapes go together."""

    def __init__(self, params, lr, momentum=0.95, decay=0.02):
        super().__init__(params, dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for p in group["params"]:
                m = self.state[p].setdefault("momentum", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - group["momentum"])
                by_shape.setdefault(p.shape, []).append((p, p.grad.lerp(m, group["momentum"])))
            for shape, entries in by_shape.items():
                steps = orthogonal(torch.stack([g for _, g in entries]))
                for (p, _), step in zip(entries, steps):
                    p.mul_(1 - group["lr"] * group["decay"]).add_(step, alpha=-group["lr"] * max(1, shape[0] / shape[1]) ** 0.5)


class Batches:
    """Batches of about `tokens` tokens of dialogs of like length; loss only on the answers and their end mark."""

    def __init__(self, tokenizer, seed, tokens):
        self.tokenizer, self.tokens = tokenizer, tokens
        self.source, self.rng = dialogs.Dialogs(seed), random.Random(seed)
        self.start, self.end, self.pad = (tokenizer.token_to_id(t) for t in ("<|im_start|>", "<|im_end|>", "<|endoftext|>"))
        self.line = tokenizer.encode("\n").ids
        self.roles = {role: [self.start, *tokenizer.encode(role).ids, *self.line] for role in ("system", "user", "assistant")}

    def encode(self, messages):
        ids, answer = [], []
        if messages[0]["role"] != "system":
            messages = [{"role": "system", "content": dialogs.SYSTEM_PROMPT}, *messages]
        for m, text in zip(messages, self.tokenizer.encode_batch([m["content"] for m in messages])):
            head = self.roles[m["role"]]
            ids += head + text.ids + [self.end] + self.line
            speaks = m["role"] == "assistant"
            answer += [False] * len(head) + [speaks] * (len(text.ids) + 1) + [False]
        return ids, answer

    def __iter__(self):
        while True:
            pool = sorted((self.encode(self.source.dialog()) for _ in range(1500)), key=lambda d: len(d[0]))
            batches, batch = [], []
            for d in pool:
                longest = (len(d[0]) + 15) // 16 * 16
                if batch and longest * (len(batch) + 1) > self.tokens:
                    batches.append(batch)
                    batch = []
                batch.append(d)
            self.rng.shuffle(batches)  # the incomplete last one is dropped
            for batch in batches:
                width = (max(len(ids) for ids, _ in batch) + 15) // 16 * 16
                ids = torch.full((len(batch), width), self.pad)
                target = torch.full((len(batch), width), -1)
                for i, (row, answer) in enumerate(batch):
                    row = torch.tensor(row)
                    ids[i, : len(row)] = row
                    target[i, : len(row) - 1] = torch.where(torch.tensor(answer[1:]), row[1:], -1)
                target = target.flatten()
                rows = (target >= 0).nonzero().squeeze(1)
                yield ids, rows, target[rows], sum(len(d[0]) for d in batch)


@torch.no_grad()
def quick_test(model, batches, items, per_category=8):
    """Greedy answers to a few held-out prompts of each category; returns {category: share right}."""
    right, total = {}, {}
    for item in items:
        category = item["category"]
        if total.get(category, 0) == per_category:
            continue
        ids, _ = batches.encode(item["messages"])
        ids += batches.roles["assistant"]
        out = []
        while len(out) < 80:
            token = model(torch.tensor([ids + out]), torch.tensor([len(ids) + len(out) - 1])).argmax().item()
            if token == batches.end:
                break
            out.append(token)
        text = batches.tokenizer.decode(out).strip()
        good = all(c in text for c in item["contains"]) if "contains" in item else text in item["accept"]
        total[category] = total.get(category, 0) + 1
        right[category] = right.get(category, 0) + good
    return {c: right[c] / total[c] for c in total}


def export(model, tokenizer):
    """Writes the files a Qwen2 checkpoint has; weights rounded to bf16."""
    end, pad = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    config = {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": MAX_POSITIONS, "rope_theta": THETA, "rms_norm_eps": EPS,
        "tie_word_embeddings": True, "use_sliding_window": False, "attention_dropout": 0.0, "initializer_range": 0.02,
        "use_cache": True, "torch_dtype": "bfloat16", "bos_token_id": pad, "eos_token_id": end, "pad_token_id": pad,
    }
    generation = {"bos_token_id": pad, "pad_token_id": pad, "eos_token_id": [end, pad], "do_sample": False, "max_new_tokens": 128}
    for name, value in (("config.json", config), ("generation_config.json", generation)):
        (HERE / name).write_text(json.dumps(value, indent=2) + "\n")
    weights = {"model." + n: p.detach().to(torch.bfloat16).contiguous() for n, p in model.state_dict().items()}
    save_file(weights, str(HERE / "model.safetensors"), metadata={"format": "pt"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million-tokens", type=float, default=10, help="length of the run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=2048, help="tokens per step")
    parser.add_argument("--work", type=pathlib.Path, default=HERE.parents[1] / "build" / "demo", help="folder of the checkpoint")
    parser.add_argument("--matrix-rate", type=float, default=0.02)
    parser.add_argument("--other-rate", type=float, default=0.006)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--fresh", action="store_true", help="forget an earlier checkpoint")
    parser.add_argument("--weights", type=pathlib.Path, help="without a checkpoint: start from this model.safetensors")
    parser.add_argument("--done", type=float, default=0, help="million tokens that --weights has seen")
    options = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")
    options.work.mkdir(parents=True, exist_ok=True)
    checkpoint = options.work / "checkpoint.pt"

    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    model = Model(tokenizer.get_vocab_size())
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, vocabulary {tokenizer.get_vocab_size()}", flush=True)
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    optimizers = [Muon(matrices, lr=options.matrix_rate), torch.optim.AdamW(others, lr=options.other_rate, betas=(0.9, 0.98), weight_decay=0.0)]
    rates = [options.matrix_rate, options.other_rate]
    step, seen, seed = 0, 0, SEED
    if checkpoint.exists() and not options.fresh:
        saved = torch.load(checkpoint, weights_only=False)
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"]):
            optimizer.load_state_dict(state)
        step, seen = saved["step"], saved["seen"]
        seed = SEED + step  # other dialogs than before the stop
        print(f"going on from step {step}, {seen / 1e6:.2f} M tokens", flush=True)
    elif options.weights:
        saved = {name.removeprefix("model."): value.float() for name, value in load_file(options.weights).items()}
        model.load_state_dict(saved)
        seen = int(options.done * 1e6)
        seed = SEED + seen
        print(f"starting from {options.weights}, {seen / 1e6:.2f} M tokens", flush=True)
    items = [json.loads(line) for line in open(HERE / "heldout.jsonl", encoding="utf-8")]
    batches = Batches(tokenizer, seed, options.tokens)
    run = model if options.no_compile else torch.compile(model, dynamic=True)

    def save():
        torch.save({"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step, "seen": seen}, checkpoint)

    average = None
    last_print = last_save = last_test = time.time()
    seen_at_print = seen
    for ids, rows, target, count in batches:
        progress = seen / (options.million_tokens * 1e6)
        if progress >= 1:
            break
        scale = min(1.0, (step + 1) / 100, (1 - progress) / 0.7)  # warm up, hold, fall to zero
        for optimizer, rate in zip(optimizers, rates):
            for group in optimizer.param_groups:
                group["lr"] = rate * scale
        loss = F.cross_entropy(run(ids, rows), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + count
        average = loss.item() if average is None else 0.97 * average + 0.03 * loss.item()
        now = time.time()
        if now - last_print > 30:
            speed = (seen - seen_at_print) / (now - last_print)
            print(f"step {step:5d}  {progress:6.1%}  loss {average:.4f}  {speed:5.0f} tokens/s  {seen / 1e6:.2f} M tokens", flush=True)
            last_print, seen_at_print = now, seen
        if now - last_test > 900:
            result = quick_test(model, batches, items)
            print("  held out: " + "  ".join(f"{c} {v:.0%}" for c, v in result.items()), flush=True)
            last_test = time.time()
        if now - last_save > 120:
            save()
            last_save = time.time()
    save()
    export(model, tokenizer)
    print(f"done: {step} steps, {seen / 1e6:.1f} M tokens, loss {average:.4f}", flush=True)


if __name__ == "__main__":
    main()
