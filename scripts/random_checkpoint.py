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
# With latent attention and experts: what config.json says of them, as transformers names it. The first layer is dense.
LATENT_SHAPES = {
    "tiny-glm": dict(num_hidden_layers=3, hidden_size=64, num_attention_heads=4, intermediate_size=96, moe_intermediate_size=32,
                     q_lora_rank=32, kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=16, v_head_dim=16,
                     n_routed_experts=4, num_experts_per_tok=2, vocab_size=1024),
    "glm-4.7-flash": dict(num_hidden_layers=47, hidden_size=2048, num_attention_heads=20, intermediate_size=10240,
                          moe_intermediate_size=1536, q_lora_rank=768, kv_lora_rank=512, qk_nope_head_dim=192,
                          qk_rope_head_dim=64, v_head_dim=256, n_routed_experts=64, num_experts_per_tok=4,
                          vocab_size=154880),
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


def mlp(at, inner, hidden):
    yield at + "gate_proj.weight", [inner, hidden]
    yield at + "up_proj.weight", [inner, hidden]
    yield at + "down_proj.weight", [hidden, inner]


def latent_tensors(c):
    hidden, heads = c["hidden_size"], c["num_attention_heads"]
    yield "model.embed_tokens.weight", [c["vocab_size"], hidden]
    yield "lm_head.weight", [c["vocab_size"], hidden]
    yield "model.norm.weight", [hidden]
    for layer in range(c["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", [hidden]
        yield at + "self_attn.q_a_proj.weight", [c["q_lora_rank"], hidden]
        yield at + "self_attn.q_a_layernorm.weight", [c["q_lora_rank"]]
        yield at + "self_attn.q_b_proj.weight", [heads * (c["qk_nope_head_dim"] + c["qk_rope_head_dim"]), c["q_lora_rank"]]
        yield at + "self_attn.kv_a_proj_with_mqa.weight", [c["kv_lora_rank"] + c["qk_rope_head_dim"], hidden]
        yield at + "self_attn.kv_a_layernorm.weight", [c["kv_lora_rank"]]
        yield at + "self_attn.kv_b_proj.weight", [heads * (c["qk_nope_head_dim"] + c["v_head_dim"]), c["kv_lora_rank"]]
        yield at + "self_attn.o_proj.weight", [hidden, heads * c["v_head_dim"]]
        yield at + "post_attention_layernorm.weight", [hidden]
        if layer == 0:
            yield from mlp(at + "mlp.", c["intermediate_size"], hidden)
            continue
        yield at + "mlp.gate.weight", [c["n_routed_experts"], hidden]
        yield at + "mlp.gate.e_score_correction_bias", [c["n_routed_experts"]]
        for expert in range(c["n_routed_experts"]):
            yield from mlp(at + f"mlp.experts.{expert}.", c["moe_intermediate_size"], hidden)
        yield from mlp(at + "mlp.shared_experts.", c["moe_intermediate_size"], hidden)


def latent_config(sizes):
    return sizes | {
        "architectures": ["Glm4MoeLiteForCausalLM"], "model_type": "glm4_moe_lite", "rms_norm_eps": 1e-05,
        "num_key_value_heads": sizes["num_attention_heads"], "rope_theta": 1000000, "rope_interleave": True,
        "first_k_dense_replace": 1, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "norm_topk_prob": True,
        "routed_scaling_factor": 1.8, "tie_word_embeddings": False, "hidden_act": "silu", "attention_bias": False,
        "max_position_embeddings": 202752, "torch_dtype": "bfloat16", "bos_token_id": 13, "eos_token_id": 14,
        "pad_token_id": 15,
    }


def contents(name, layers):
    """The tensors of a shape with their extents, and its config.json."""
    if name in SHAPES:
        shape = (layers or SHAPES[name][0], *SHAPES[name][1:])
        return list(tensors(*shape)), config_of(*shape)
    sizes = LATENT_SHAPES[name] | ({"num_hidden_layers": layers} if layers else {})
    return list(latent_tensors(sizes)), latent_config(sizes)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path, help="the folder to write")
    parser.add_argument("shape", nargs="?", choices=[*SHAPES, *LATENT_SHAPES], default="qwen3-1.7b")
    parser.add_argument("--layers", type=int, default=0, help="only so many, the first ones")
    parser.add_argument("tokenizer", nargs="?", type=pathlib.Path, help="a folder with a tokenizer.json (models/chain-4m)",
                        default=pathlib.Path(__file__).parent.parent / "models/chain-4m")
    arguments = parser.parse_args()
    out, tokenizer = arguments.out, arguments.tokenizer
    named, config = contents(arguments.shape, arguments.layers)
    out.mkdir(parents=True, exist_ok=True)
    header, begin = {}, 0
    for name, extents in named:
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
        for name, extents in named:
            if len(extents) == 1:
                value = 0.0 if name.endswith("correction_bias") else 1.0
                file.write(array.array("H", [bf16(value)]) * extents[0])
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
    (out / "config.json").write_text(json.dumps(config, indent=1))
    shutil.copy(tokenizer / "tokenizer.json", out)


main()
