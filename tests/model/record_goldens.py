#!/usr/bin/env python3
"""Records tests/model/goldens/: logits, greedy tokens and rotary frequencies of tiny models, from transformers.

Needs torch and transformers (recorded with 2.15 and 5.24); the tests need neither:

    python3 tests/model/record_goldens.py

Weights come from the integer hash that src/model/dummy_weights.cpp states, so no weights are stored. A model runs in
f32 on weights rounded to f32, bf16 and f16, and its logits are recorded at a few positions of one prompt. 64 greedy
tokens are recorded in f32, with the smallest lead of a chosen token over the runner-up: it must be far above rounding
noise, or "identical tokens" would be luck.
"""

import json
import math
import pathlib

import numpy
import torch
import transformers

FOLDER = pathlib.Path(__file__).parent / "goldens"
PROMPT_LENGTH = 40
NUM_GREEDY = 64
POSITIONS = [0, 5, 22, 39]
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
MAX_MODEL_LEN = 128  # of every case: what fixes dynamic and longrope
MIN_LEAD = 1e-3  # logits are around 0.7; f32 rounding moves them by some 1e-6

BASE = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "torch_dtype": "float32",
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def qwen2(**keys):
    return BASE | {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "use_sliding_window": False} | keys


def qwen3(**keys):
    return BASE | {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "use_sliding_window": False} | keys


def llama(**keys):
    return BASE | {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rms_norm_eps": 1e-5} | keys


def mistral(**keys):
    return BASE | {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "rms_norm_eps": 1e-5} | keys


def ramp(first, last, count):
    return [round(first + (last - first) * i / (count - 1), 4) for i in range(count)]


# The keys are config.json's own, in old and new spellings: the C++ parser reads the same object.
CASES = {
    "qwen2_tied_gqa": qwen2(tie_word_embeddings=True, rope_theta=1000000.0),
    "qwen2_untied_sliding_window": qwen2(
        tie_word_embeddings=False,
        num_hidden_layers=4,
        use_sliding_window=True,
        sliding_window=12,
        max_window_layers=2,
    ),
    # A window that is stated and switched off, as published files have it; rows of no round size.
    "qwen2_idle_window_odd_sizes": qwen2(
        tie_word_embeddings=False,
        hidden_size=84,
        num_attention_heads=7,
        num_key_value_heads=1,
        intermediate_size=122,
        vocab_size=317,
        sliding_window=4,
        max_window_layers=0,
    ),
    "llama2_mha": llama(num_key_value_heads=4, tie_word_embeddings=False),
    "llama3_gqa": llama(num_attention_heads=8, rope_theta=500000.0, tie_word_embeddings=False),
    "llama_biases_own_head_dim": llama(attention_bias=True, mlp_bias=True, head_dim=24),
    "llama_rope_linear": llama(rope_scaling={"type": "linear", "factor": 4.0}),
    # 32 positions of pretraining, run at MAX_MODEL_LEN.
    "llama_rope_dynamic": llama(max_position_embeddings=32, rope_scaling={"type": "dynamic", "factor": 4.0}),
    "llama_rope_llama3": llama(
        rope_theta=500000.0,
        rope_scaling={
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
    "qwen2_rope_yarn": qwen2(
        rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    ),
    "llama_rope_parameters_yarn": llama(
        rope_theta=None,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 5000.0,
            "factor": 2.0,
            "original_max_position_embeddings": 64,
            "attention_factor": 0.9,
            "truncate": False,
        },
    ),
    "llama_rope_longrope_long": llama(
        rope_scaling={
            "rope_type": "longrope",
            "short_factor": ramp(1.0, 1.4, 8),
            "long_factor": ramp(1.1, 7.0, 8),
            "factor": 8.0,
            "original_max_position_embeddings": 32,
        },
    ),
    "llama_rope_longrope_short": llama(
        original_max_position_embeddings=128,
        rope_scaling={
            "type": "longrope",
            "short_factor": ramp(1.0, 1.4, 8),
            "long_factor": ramp(1.1, 7.0, 8),
        },
    ),
    "mistral_window_own_head_dim": mistral(tie_word_embeddings=False, head_dim=24, sliding_window=9),
    # Heads wider than the hidden size gives them, and rows of no round size.
    "qwen3_tied_own_head_dim": qwen3(tie_word_embeddings=True, head_dim=26, rope_theta=1000000.0),
    "qwen3_untied_biases_window": qwen3(
        tie_word_embeddings=False,
        hidden_size=84,
        num_attention_heads=6,
        num_key_value_heads=3,
        head_dim=16,
        intermediate_size=122,
        vocab_size=317,
        attention_bias=True,
        use_sliding_window=True,
        sliding_window=12,
        max_window_layers=1,
    ),
}

# Frequencies at the sizes of published models.
ROPE_CASES = {
    "qwen2.5-7b": (qwen2(hidden_size=3584, num_attention_heads=28, rope_theta=1000000.0), 32768),
    "qwen2.5-7b-yarn": (
        qwen2(
            hidden_size=3584,
            num_attention_heads=28,
            rope_theta=1000000.0,
            max_position_embeddings=32768,
            rope_scaling={"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"},
        ),
        131072,
    ),
    "yarn-mscale": (
        llama(
            head_dim=64,
            max_position_embeddings=4096,
            rope_scaling={
                "factor": 40,
                "mscale": 1.0,
                "mscale_all_dim": 0.707,
                "beta_fast": 32,
                "beta_slow": 1,
                "type": "yarn",
            },
        ),
        163840,
    ),
    "llama-3.1-8b": (
        llama(
            head_dim=128,
            rope_theta=500000.0,
            max_position_embeddings=131072,
            rope_scaling={
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "llama3",
            },
        ),
        131072,
    ),
    "llama-3.2-1b": (
        llama(
            head_dim=64,
            rope_theta=500000.0,
            max_position_embeddings=131072,
            rope_scaling={
                "factor": 32.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "llama3",
            },
        ),
        8192,
    ),
    "dynamic-within": (
        llama(head_dim=128, max_position_embeddings=4096, rope_scaling={"type": "dynamic", "factor": 2.0}),
        4096,
    ),
    "dynamic-beyond": (
        llama(head_dim=128, max_position_embeddings=4096, rope_scaling={"type": "dynamic", "factor": 2.0}),
        8192,
    ),
    "linear": (
        llama(head_dim=128, max_position_embeddings=4096, rope_scaling={"type": "linear", "factor": 2.5}),
        8192,
    ),
}


def dummy_weight(name, shape, dtype):
    """The formula of src/model/dummy_weights.cpp."""
    seed = 14695981039346656037
    for byte in name.encode():
        seed = (seed ^ byte) * 1099511628211 % 2**64
    count = math.prod(shape)
    i = numpy.arange(count, dtype=numpy.uint64)
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + (i // numpy.uint64(2) + numpy.uint64(1)) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    bits = numpy.where(i % numpy.uint64(2) == 0, z >> numpy.uint64(40), z >> numpy.uint64(16))
    k = (bits & numpy.uint64(0xFFFFFF)).astype(numpy.int64) - 2**23
    k = k.astype(numpy.float32)
    if len(shape) > 1:
        columns = count // shape[0]
        values = k * numpy.float32(math.sqrt(1.5 / columns) * 2.0**-23)
    elif name.endswith(".bias"):
        values = k * numpy.float32(2.0**-26)
    else:
        values = numpy.float32(1.0) + k * numpy.float32(2.0**-25)
    return torch.from_numpy(values.reshape(shape)).to(dtype)


def config_of(keys):
    keys = {key: value for key, value in json.loads(json.dumps(keys)).items() if value is not None}
    architecture = keys["architectures"][0].removesuffix("ForCausalLM")
    config = getattr(transformers, f"{architecture}Config")(**keys)
    config._attn_implementation = "eager"
    return config


def build(keys, dtype):
    config = config_of(keys)
    model = getattr(transformers, keys["architectures"][0])(config).to(torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(dummy_weight(name, tuple(parameter.shape), dtype).to(torch.float32))
    # What C++ fixes at load: frequencies as after having seen MAX_MODEL_LEN positions.
    model.model.rotary_emb(torch.zeros(1), torch.arange(MAX_MODEL_LEN)[None])
    return model


def greedy(model, prompt):
    tokens, lead = [], math.inf
    ids, cache = torch.tensor([prompt]), transformers.DynamicCache(config=model.config)
    for _ in range(NUM_GREEDY):
        logits = model(input_ids=ids, past_key_values=cache, use_cache=True).logits[0, -1]
        best = torch.topk(logits, 2)
        lead = min(lead, (best.values[0] - best.values[1]).item())
        tokens.append(best.indices[0].item())
        ids = best.indices[:1][None]
    return tokens, lead


def find_prompt(name, model, vocab_size):
    """The first seed whose 64 greedy choices all are clear ones, and differ: tied random models like to repeat."""
    min_different = 2 if model.config.tie_word_embeddings else 8
    for seed in range(1000):
        generator = numpy.random.default_rng([seed, *name.encode()])
        prompt = generator.integers(0, vocab_size, PROMPT_LENGTH).tolist()
        tokens, lead = greedy(model, prompt)
        if lead >= MIN_LEAD and len(set(tokens)) >= min_different:
            return prompt, tokens, lead
    raise SystemExit(f"{name}: no prompt with clear greedy choices")


@torch.no_grad()
def main():
    FOLDER.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    index = {"max_model_len": MAX_MODEL_LEN, "positions": POSITIONS, "cases": [], "rope": []}
    blob = b""
    for name, keys in CASES.items():
        model = build(keys, torch.float32)
        prompt, tokens, lead = find_prompt(name, model, keys["vocab_size"])
        rotary = model.model.rotary_emb
        case = {
            "name": name,
            "config": keys,
            "prompt": prompt,
            "greedy": tokens,
            "greedy_lead": lead,
            "inverse_frequencies": [float(f) for f in rotary.inv_freq],
            "attention_scale": float(rotary.attention_scaling),
            "logits_offset": {},
        }
        for dtype_name, dtype in DTYPES.items():
            if dtype_name != "f32":
                model = build(keys, dtype)
            logits = model(input_ids=torch.tensor([prompt])).logits[0, POSITIONS]
            case["logits_offset"][dtype_name] = len(blob)
            blob += logits.numpy().astype("<f4").tobytes()
        index["cases"].append(case)
        print(f"{name}: smallest lead {lead:.4f}, {len(set(tokens))} different tokens", flush=True)
    for name, (keys, max_model_len) in ROPE_CASES.items():
        config = config_of(keys)
        kind = config.rope_parameters["rope_type"]
        if kind == "default":
            rotary_class = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding
            frequencies, scale = rotary_class.compute_default_rope_parameters(config)
        else:
            function = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS[kind]
            frequencies, scale = function(config, None, seq_len=max_model_len)
        index["rope"].append(
            {
                "name": name,
                "config": keys,
                "max_model_len": max_model_len,
                "inverse_frequencies": [float(f) for f in frequencies],
                "attention_scale": float(scale),
            }
        )
    (FOLDER / "goldens.json").write_text(json.dumps(index, indent=None, separators=(",", ":")) + "\n")
    (FOLDER / "logits.bin").write_bytes(blob)


if __name__ == "__main__":
    main()
