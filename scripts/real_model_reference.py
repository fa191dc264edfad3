#!/usr/bin/env python3
"""What SmolLM2-135M-Instruct writes, by a program that shares nothing with ours: tokenizer, model and policies in numpy.

    python3 scripts/real_model_reference.py FOLDER tests/golden/real_model.json

FOLDER is the Hugging Face folder (docs/real-model.md). Float32 throughout, K and V rounded to bfloat16 as a cache of
bfloat16 keeps them; the prompt is read densely, each further token is decoded with the pages that the policy takes. A
text ends before the first token whose logit leads the next one's by less than MARGIN: there the order of summation may
decide. Takes half a minute on two cores; tests/e2e/real_model.sh compares the file with what vortex writes.
"""
import json
import re
import struct
import sys
from pathlib import Path

import numpy as np

MARGIN = 0.02  # of logits
PAGE = 16
RESERVED_FIRST, RESERVED_LAST = 1, 2
PAGES_CHOSEN = 3


class Tokenizer:
    """Byte-level BPE for ASCII text: digits one by one, then GPT-2's pieces."""

    PIECES = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")

    def __init__(self, folder):
        data = json.loads((folder / "tokenizer.json").read_text())
        self.vocab = data["model"]["vocab"]
        merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in data["model"]["merges"]]
        self.rank = {pair: i for i, pair in enumerate(merges)}
        self.special = {t["content"]: t["id"] for t in data["added_tokens"]}

    def word(self, piece):
        parts = ["Ġ" if c == " " else "Ċ" if c == "\n" else c for c in piece]
        while len(parts) > 1:
            ranked = [(self.rank.get(pair, 1 << 30), i) for i, pair in enumerate(zip(parts, parts[1:]))]
            best, at = min(ranked)
            if best == 1 << 30:
                break
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        return [self.vocab[p] for p in parts]

    def encode(self, text):
        ids = []
        for chunk in re.split("(" + "|".join(map(re.escape, self.special)) + ")", text):
            if chunk in self.special:
                ids.append(self.special[chunk])
                continue
            for run in re.findall(r"[0-9]|[^0-9]+", chunk):
                for piece in self.PIECES.findall(run):
                    ids += self.word(piece)
        return ids


def to_bf16(x):
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


class Model:
    def __init__(self, folder):
        self.c = json.loads((folder / "config.json").read_text())
        raw = (folder / "model.safetensors").read_bytes()
        size, = struct.unpack("<Q", raw[:8])
        self.w = {}
        for name, info in json.loads(raw[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = (8 + size + o for o in info["data_offsets"])
                bits = np.frombuffer(raw[begin:end], np.uint16).astype(np.uint32) << 16
                self.w[name] = bits.view(np.float32).reshape(info["shape"])
        self.heads, self.kv_heads = self.c["num_attention_heads"], self.c["num_key_value_heads"]
        self.dim, self.group = self.c["head_dim"], self.heads // self.kv_heads
        half = np.arange(0, self.dim, 2) / self.dim
        self.freq = (1.0 / self.c["rope_theta"] ** half).astype(np.float32)

    def norm(self, x, name):
        scale = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.c["rms_norm_eps"])
        return x * scale * self.w[name]

    def rope(self, x, positions):
        angle = positions[:, None].astype(np.float32) * self.freq
        cos, sin = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
        a, b = np.split(x, 2, axis=-1)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    def run(self, ids, cache, pages):
        """Appends `ids` to the cache and gives the logits behind the last one. `pages(layer, kv head, q)` gives the token
        positions to attend, or None for all; it is asked only when one token is fed."""
        start = cache[0][0].shape[1] if cache[0] is not None else 0
        positions = np.arange(start, start + len(ids))
        x = self.w["model.embed_tokens.weight"][ids]
        for layer in range(self.c["num_hidden_layers"]):
            p = f"model.layers.{layer}."
            h = self.norm(x, p + "input_layernorm.weight")
            q, k, v = (h @ self.w[p + f"self_attn.{n}_proj.weight"].T for n in "qkv")
            q = self.rope(q.reshape(len(ids), self.heads, self.dim), positions)
            k = self.rope(k.reshape(len(ids), self.kv_heads, self.dim), positions)
            k = to_bf16(k.transpose(1, 0, 2))
            v = to_bf16(v.reshape(len(ids), self.kv_heads, self.dim).transpose(1, 0, 2))
            if cache[layer] is not None:
                k, v = (np.concatenate([old, new], axis=1) for old, new in zip(cache[layer], (k, v)))
            cache[layer] = (k, v)
            out = np.empty((len(ids), self.heads, self.dim), np.float32)
            for head in range(self.kv_heads):
                own = q[:, head * self.group:(head + 1) * self.group]
                take = pages(layer, head, own[0], k[head]) if len(ids) == 1 else None
                keys, values = (k[head], v[head]) if take is None else (k[head][take], v[head][take])
                scores = np.einsum("tgd,sd->gts", own, keys) / np.sqrt(np.float32(self.dim))
                if len(ids) > 1:
                    scores += np.where(np.arange(keys.shape[0])[None, :] > positions[:, None], -np.inf, 0)[None]
                scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
                scores /= scores.sum(axis=-1, keepdims=True)
                out[:, head * self.group:(head + 1) * self.group] = np.einsum("gts,sd->tgd", scores, values)
            x = x + out.reshape(len(ids), -1) @ self.w[p + "self_attn.o_proj.weight"].T
            h = self.norm(x, p + "post_attention_layernorm.weight")
            gate, up = (h @ self.w[p + f"mlp.{n}_proj.weight"].T for n in ("gate", "up"))
            x = x + (gate / (1 + np.exp(-gate)) * up) @ self.w[p + "mlp.down_proj.weight"].T
        return self.norm(x[-1], "model.norm.weight") @ self.w["model.embed_tokens.weight"].T


def best_pages(score, chosen):
    """Positions of the reserved pages and the `chosen` best of those between; None where all fit."""
    def pages(layer, head, q, keys):
        n = -(-len(keys) // PAGE)
        if n <= chosen + RESERVED_FIRST + RESERVED_LAST:
            return None
        middle = range(RESERVED_FIRST, n - RESERVED_LAST)
        values = np.array([score(to_bf16(q), keys[p * PAGE:(p + 1) * PAGE]) for p in middle])
        best = RESERVED_FIRST + np.argsort(-values, kind="stable")[:chosen]
        taken = sorted([*range(RESERVED_FIRST), *best.tolist(), *range(n - RESERVED_LAST, n)])
        return np.concatenate([np.arange(p * PAGE, min((p + 1) * PAGE, len(keys))) for p in taken])
    return pages


def block_topk(q, keys):
    return q.mean(axis=0) @ to_bf16(keys.mean(axis=0))


def quest(q, keys):
    return np.maximum(q * keys.max(axis=0), q * keys.min(axis=0)).sum(axis=1).max()


def decode(model, prompt, tokens, pages):
    cache = [None] * model.c["num_hidden_layers"]
    logits = model.run(prompt, cache, pages)
    ids = []
    for _ in range(tokens):
        first, second = np.sort(logits)[-2:][::-1]
        if first - second < MARGIN:
            break
        ids.append(int(logits.argmax()))
        if ids[-1] == model.c["eos_token_id"]:
            break
        logits = model.run([ids[-1]], cache, pages)
    return ids


def chat(text):
    return ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n")


def needle_prompt():
    lines = [f"On day {i} the harbour master wrote that the tide was calm and {i + 3} boats came home before noon."
             for i in range(1, 41)]
    lines[17] += " The secret number of the quiet lighthouse is 7305184."
    return ("Keep the secret number in mind.\n\n" + " ".join(lines)
            + "\n\nWhich secret number does the text give away for the quiet lighthouse? Answer with the number.")


def main():
    folder, target = Path(sys.argv[1]), Path(sys.argv[2])
    tokenizer, model = Tokenizer(folder), Model(folder)
    no_pages = lambda *_: None
    policies = {"dense": no_pages, "block_topk": best_pages(block_topk, PAGES_CHOSEN), "quest": best_pages(quest, PAGES_CHOSEN)}
    asked = [("Why is the sky blue?", 64, ["dense"]), ("Write a short story about a lighthouse.", 64, ["dense"]),
             ("What is 12 times 12?", 64, ["dense"]), (needle_prompt(), 32, ["dense", "block_topk", "quest"])]
    cases = []
    for text, tokens, names in asked:
        prompt = tokenizer.encode(chat(text))
        case = {"prompt": text, "rendered": chat(text), "ids": prompt, "tokens": {}}
        for name in names:
            case["tokens"][name] = decode(model, prompt, tokens, policies[name])
            print(len(prompt), name, len(case["tokens"][name]), case["tokens"][name][:12], file=sys.stderr)
        cases.append(case)
    target.write_text(json.dumps({"pages": PAGES_CHOSEN, "cases": cases}, indent=None, separators=(",", ":")) + "\n")


main()
