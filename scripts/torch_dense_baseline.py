#!/usr/bin/env python3
"""Dense decode of a Qwen3-shaped model from PyTorch parts: what the engine's dense step is compared with.

Random weights, contiguous KV, one CUDA graph for the whole step: matrix products by torch.nn.functional.linear,
attention by scaled_dot_product_attention (cuDNN or flash, whichever is faster at the shape), norms and rotary embedding
compiled by torch.compile where that works. Prints a line a shape: the median of the replays and the spread.

usage: scripts/torch_dense_baseline.py [64x8192 ...]
"""
import argparse
import statistics

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

LAYERS, HIDDEN, Q_HEADS, KV_HEADS, DIM, INNER, VOCAB = 28, 2048, 16, 8, 128, 6144, 151936
EPSILON = 1e-6


def norm(x, weight):
    y = x.float()
    return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + EPSILON)).to(x.dtype) * weight


def add_norm(residual, x, weight):
    residual = residual + x
    return residual, norm(residual, weight)


def rotate(x, cos, sin):
    low, high = x.chunk(2, dim=-1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1)


def heads(qkv, q_norm, k_norm, cos, sin):
    q, k, v = qkv.split((Q_HEADS * DIM, KV_HEADS * DIM, KV_HEADS * DIM), dim=-1)
    q = rotate(norm(q.unflatten(-1, (Q_HEADS, DIM)), q_norm), cos, sin)
    k = rotate(norm(k.unflatten(-1, (KV_HEADS, DIM)), k_norm), cos, sin)
    return q, k, v.unflatten(-1, (KV_HEADS, DIM))


def swiglu(x):
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate) * up


class Decoder:
    def __init__(self, requests, tokens):
        def matrix(n, k):
            return torch.randn(n, k, device="cuda", dtype=torch.bfloat16) / k**0.5

        self.layers = [
            (matrix((Q_HEADS + 2 * KV_HEADS) * DIM, HIDDEN), matrix(HIDDEN, Q_HEADS * DIM), matrix(2 * INNER, HIDDEN),
             matrix(HIDDEN, INNER)) for _ in range(LAYERS)
        ]
        self.embedding = matrix(VOCAB, HIDDEN)
        self.ones = torch.ones(HIDDEN, device="cuda", dtype=torch.bfloat16)
        self.head_ones = torch.ones(DIM, device="cuda", dtype=torch.bfloat16)
        shape = (requests, KV_HEADS, tokens, DIM)
        self.k = [torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(LAYERS)]
        self.v = [torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(LAYERS)]
        self.token = torch.randint(VOCAB, (requests,), device="cuda")
        self.last = tokens - 1
        angle = torch.arange(DIM // 2, device="cuda").float() * 0.01
        self.cos, self.sin = angle.cos().bfloat16(), angle.sin().bfloat16()
        self.compiled = [torch.compile(f) for f in (norm, add_norm, heads, swiglu)]

    def step(self):
        fast_norm, fast_add_norm, fast_heads, fast_swiglu = self.compiled
        residual = self.embedding[self.token]
        normed = fast_norm(residual, self.ones)
        for (qkv_w, o_w, gate_up_w, down_w), k, v in zip(self.layers, self.k, self.v):
            q, new_k, new_v = fast_heads(F.linear(normed, qkv_w), self.head_ones, self.head_ones, self.cos, self.sin)
            k[:, :, self.last] = new_k
            v[:, :, self.last] = new_v
            # The two query heads of a group are two rows of one kv head: no key is read twice.
            rows = q.unflatten(1, (KV_HEADS, Q_HEADS // KV_HEADS))
            attended = F.scaled_dot_product_attention(rows, k, v).flatten(1)
            residual, normed = fast_add_norm(residual, F.linear(attended, o_w), self.ones)
            down = F.linear(fast_swiglu(F.linear(normed, gate_up_w)), down_w)
            residual, normed = fast_add_norm(residual, down, self.ones)
        self.token.copy_(F.linear(normed, self.embedding).argmax(-1))


def measure(requests, tokens, backend, samples=11):
    with torch.no_grad(), sdpa_kernel(backend):
        decoder = Decoder(requests, tokens)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                decoder.step()
            stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                decoder.step()
            times = []
            for _ in range(samples + 2):
                start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                start.record()
                graph.replay()
                stop.record()
                stop.synchronize()
                times.append(start.elapsed_time(stop))
    return times[2:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shapes", nargs="*", default=["64x8192"])
    for shape in parser.parse_args().shapes:
        requests, tokens = map(int, shape.split("x"))
        for name, backend in (("cudnn", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)):
            try:
                times = measure(requests, tokens, backend)
            except (RuntimeError, torch.cuda.OutOfMemoryError) as error:
                print(f"torch dense {shape} {name}: not possible: {str(error).splitlines()[0]}")
                continue
            finally:
                torch.cuda.empty_cache()
            median = statistics.median(times)
            print(f"torch dense {shape} {name}: median {median:.3f} ms, {min(times):.3f}-{max(times):.3f}, "
                  f"{requests / median * 1e3:.0f} tok/s", flush=True)


if __name__ == "__main__":
    main()
