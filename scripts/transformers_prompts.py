#!/usr/bin/env python3
"""Prompts of a Qwen3-1.7B-shaped model in transformers, what `vortex-bench prompt` is compared with.

Random weights, bf16, one request, PyTorch's SDPA as transformers takes it, a KV cache, logits of the last token alone.
Prints the card's rate at a large matrix product, then a line a length: the median of the runs and their spread; then a
line a length of causal attention of one layer alone, by cuDNN and by the flash backend on contiguous tensors.

usage: scripts/transformers_prompts.py [4096 16384 32768]
"""
import argparse
import statistics

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import Qwen3Config, Qwen3ForCausalLM

LAYERS, HIDDEN, Q_HEADS, KV_HEADS, DIM, INNER, VOCAB = 28, 2048, 16, 8, 128, 6144, 151936


def timed(work, samples, warm=2):
    times = []
    for _ in range(samples + warm):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    return times[warm:]


def spread(times):
    return f"median {statistics.median(times):.3f} ms, {min(times):.3f}-{max(times):.3f}"


def operations(tokens):
    width, kv = Q_HEADS * DIM, KV_HEADS * DIM
    return tokens * LAYERS * (2 * HIDDEN * (2 * width + 2 * kv + 3 * INNER) + 2 * width * tokens)


def product_rate():
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / statistics.median(timed(lambda: a @ b, 20, 5)) * 1e-9


def make_model(longest):
    config = Qwen3Config(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
                         num_attention_heads=Q_HEADS, num_key_value_heads=KV_HEADS, head_dim=DIM,
                         max_position_embeddings=longest, tie_word_embeddings=True)
    config._attn_implementation = "sdpa"
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = Qwen3ForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    return model.eval()


def attention(tokens, backend):
    q = torch.randn(1, Q_HEADS, tokens, DIM, device="cuda", dtype=torch.bfloat16)
    k, v = (torch.randn(1, KV_HEADS, tokens, DIM, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    with sdpa_kernel(backend):
        return timed(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True), 10)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lengths", nargs="*", type=int, default=[4096, 16384, 32768])
    lengths = parser.parse_args().lengths
    with torch.no_grad():
        print(f"{torch.cuda.get_device_name()}, product of 8192^3: {product_rate():.0f} TFLOP/s", flush=True)
        for tokens in lengths:
            for name, backend in (("cudnn", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)):
                try:
                    print(f"attention {tokens} {name}: {spread(attention(tokens, backend))}", flush=True)
                except RuntimeError as error:
                    print(f"attention {tokens} {name}: not possible: {str(error).splitlines()[0]}", flush=True)
        model = make_model(max(lengths))
        for tokens in lengths:
            ids = torch.randint(VOCAB, (1, tokens), device="cuda")
            times = timed(lambda: model(input_ids=ids, use_cache=True, logits_to_keep=1), 5)
            rate = operations(tokens) / statistics.median(times) * 1e-9
            print(f"transformers {tokens}: {spread(times)}, {rate:.0f} TFLOP/s", flush=True)
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
