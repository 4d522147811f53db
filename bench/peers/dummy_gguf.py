"""Writes a GGUF file of made-up bf16 weights in a published Qwen2 shape, for speed comparisons with llama.cpp and its
relatives. It has no tokenizer: llama-bench needs none. Needs the packages gguf and numpy.

    python3 dummy_gguf.py qwen2-0.5b /tmp/qwen2-0.5b-bf16.gguf
"""

import argparse

import gguf
import numpy as np

# hidden size, layers, heads, KV heads, intermediate size, tied embedding; sources: the config.json of each model.
SHAPES = {
    "qwen2-0.5b": (896, 24, 14, 2, 4864, True),
    "qwen2-1.5b": (1536, 28, 12, 2, 8960, True),
    "qwen2-7b": (3584, 28, 28, 4, 18944, False),
}
VOCAB_SIZE = {"qwen2-7b": 152064}
CONTEXT = 32768


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("file")
    arguments = parser.parse_args()
    hidden, layers, heads, kv_heads, intermediate, tied = SHAPES[arguments.shape]
    vocab = VOCAB_SIZE.get(arguments.shape, 151936)
    kv_size = hidden // heads * kv_heads
    random = np.random.default_rng(1)

    writer = gguf.GGUFWriter(arguments.file, "qwen2")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(intermediate)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(vocab)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("no_vocab")

    def matrix(name: str, rows: int, columns: int) -> None:
        # The upper half of an f32 is a bf16.
        values = random.standard_normal((rows, columns), dtype=np.float32) * 0.02
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        writer.add_tensor(name, bits.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)

    def vector(name: str, size: int, value: float) -> None:
        writer.add_tensor(name, np.full(size, value, dtype=np.float32))

    matrix("token_embd.weight", vocab, hidden)
    if not tied:
        matrix("output.weight", vocab, hidden)
    vector("output_norm.weight", hidden, 1.0)
    for layer in range(layers):
        block = f"blk.{layer}"
        vector(f"{block}.attn_norm.weight", hidden, 1.0)
        vector(f"{block}.ffn_norm.weight", hidden, 1.0)
        for name, rows in (("q", hidden), ("k", kv_size), ("v", kv_size)):
            matrix(f"{block}.attn_{name}.weight", rows, hidden)
            vector(f"{block}.attn_{name}.bias", rows, 0.0)
        matrix(f"{block}.attn_output.weight", hidden, hidden)
        matrix(f"{block}.ffn_gate.weight", intermediate, hidden)
        matrix(f"{block}.ffn_up.weight", intermediate, hidden)
        matrix(f"{block}.ffn_down.weight", hidden, intermediate)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file(progress=False)
    writer.close()


if __name__ == "__main__":
    main()
