#!/usr/bin/env python3
"""Writes a checkpoint of random weights at a published model's shape, to measure what does not depend on their values.
The tokenizer's vocabulary must be within the shape's."""
import argparse
import array
import json
import pathlib
import random
import shutil
import struct

SHAPES = {  # layers, hidden, query heads, kv heads, head_dim, intermediate, vocabulary
    "tiny": (4, 256, 8, 4, 64, 640, 1024),
    "qwen3-0.6b": (28, 1024, 16, 8, 128, 3072, 151936),
    "qwen3-1.7b": (28, 2048, 16, 8, 128, 6144, 151936),
}
BLOCK = 1 << 20  # values that are drawn; matrices repeat them, each from another place on


def bf16(value):
    return struct.unpack("<I", struct.pack("<f", value))[0] >> 16


def tensors(layers, hidden, heads, kv_heads, dim, inner, vocab):
    yield "model.embed_tokens.weight", [vocab, hidden]
    yield "model.norm.weight", [hidden]
    for layer in range(layers):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", [hidden]
        yield at + "self_attn.q_proj.weight", [heads * dim, hidden]
        yield at + "self_attn.k_proj.weight", [kv_heads * dim, hidden]
        yield at + "self_attn.v_proj.weight", [kv_heads * dim, hidden]
        yield at + "self_attn.o_proj.weight", [hidden, heads * dim]
        yield at + "self_attn.q_norm.weight", [dim]
        yield at + "self_attn.k_norm.weight", [dim]
        yield at + "post_attention_layernorm.weight", [hidden]
        yield at + "mlp.gate_proj.weight", [inner, hidden]
        yield at + "mlp.up_proj.weight", [inner, hidden]
        yield at + "mlp.down_proj.weight", [hidden, inner]


def config_of(layers, hidden, heads, kv_heads, dim, inner, vocab):
    return {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": dim, "intermediate_size": inner,
        "vocab_size": vocab, "rope_theta": 1000000, "rms_norm_eps": 1e-06, "tie_word_embeddings": True,
        "hidden_act": "silu", "attention_bias": False, "max_position_embeddings": 40960, "torch_dtype": "bfloat16",
        "bos_token_id": 13, "eos_token_id": 14, "pad_token_id": 15,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path, help="the folder to write")
    parser.add_argument("shape", nargs="?", choices=SHAPES, default="qwen3-1.7b")
    parser.add_argument("tokenizer", nargs="?", type=pathlib.Path, help="a folder with a tokenizer.json (models/chain-4m)",
                        default=pathlib.Path(__file__).parent.parent / "models/chain-4m")
    arguments = parser.parse_args()
    out, shape, tokenizer = arguments.out, SHAPES[arguments.shape], arguments.tokenizer
    out.mkdir(parents=True, exist_ok=True)
    header, begin = {}, 0
    for name, extents in tensors(*shape):
        count = extents[0] * (extents[1] if len(extents) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": extents, "data_offsets": [begin, begin + 2 * count]}
        begin += 2 * count
    text = json.dumps(header)
    text += " " * (-len(text) % 8)
    generator = random.Random(1)
    normal = [generator.gauss(0, 1) for _ in range(BLOCK)]
    blocks = {}  # by the number of columns
    with open(out / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text.encode())
        for name, extents in tensors(*shape):
            if len(extents) == 1:
                file.write(array.array("H", [bf16(1.0)]) * extents[0])
                continue
            cols = extents[1]
            if cols not in blocks:
                blocks[cols] = array.array("H", [bf16(x / cols**0.5) for x in normal]).tobytes()
            block, left = blocks[cols], 2 * extents[0] * cols
            start = 2 * generator.randrange(BLOCK)
            while left > 0:
                part = block[start : start + left]
                file.write(part)
                left -= len(part)
                start = 0
    (out / "config.json").write_text(json.dumps(config_of(*shape), indent=1))
    shutil.copy(tokenizer / "tokenizer.json", out)


main()
