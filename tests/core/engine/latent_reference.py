#!/usr/bin/env python3
"""Decoders with latent attention and experts, written from their definitions for the engine to be compared with: one
token at a time, keys and values made for every head, float64. Only what is cached is rounded, to bfloat16, as the
engine's pool keeps it.

usage: latent_reference.py CASES NAME FOLDER
Takes the case NAME of a file of cases, writes the model to FOLDER (config.json and random weights in model.safetensors)
and FOLDER/expected.json: `prompt` and `continuation`, `log_probs` before each token of the continuation, `greedy`
tokens after the prompt, and `mistakes`: log_probs of a decoder that makes the named one."""
import json
import math
import pathlib
import random
import struct
import sys
from operator import mul

NORM_EPS_OF_LATENTS = "latent_norm_eps"
SIGMOID = {"DeepseekV3ForCausalLM", "Glm4MoeLiteForCausalLM"}


def float32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bfloat16(x):
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def dot(a, b):
    return sum(map(mul, a, b))


def product(matrix, x):
    return [dot(row, x) for row in matrix]


def plus(x, y, factor=1.0):
    return [a + factor * b for a, b in zip(x, y)]


def softmax(x):
    peak = max(x)
    weights = [math.exp(a - peak) for a in x]
    total = sum(weights)
    return [a / total for a in weights]


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


class Decoder:
    def __init__(self, config, tensors, mistake=""):
        self.c, self.tensors, self.mistake = config, tensors, mistake
        self.layers = config["num_hidden_layers"]
        self.cache = [[] for _ in range(self.layers)]  # [layer][token]: keys and values of all heads
        self.position = 0
        self.rope = self.rotary()

    def get(self, key, otherwise=None):
        value = self.c.get(key)
        return otherwise if value is None else value

    def weight(self, name):
        return self.tensors[name + ".weight"]

    # Cosines and sines are those of these frequencies, times the magnitude; the logits times the temperature.
    def rotary(self):
        dim = self.c["qk_rope_head_dim"]
        scaling = dict(self.get("rope_scaling", {}), **self.get("rope_parameters", {}))
        base = scaling.get("rope_theta", self.get("rope_theta", 10000.0))
        frequencies = [base ** (-2.0 * i / dim) for i in range(dim // 2)]
        magnitude = temperature = 1.0
        if scaling.get("type", scaling.get("rope_type")) == "yarn":
            factor, context = scaling["factor"], scaling["original_max_position_embeddings"]
            def index(turns):
                return dim * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(base))
            low = max(math.floor(index(scaling.get("beta_fast", 32))), 0)
            high = min(math.ceil(index(scaling.get("beta_slow", 1))), dim - 1)
            for i in range(dim // 2):
                ramp = min(max((i - low) / max(high - low, 0.001), 0), 1)
                frequencies[i] = frequencies[i] / factor * ramp + frequencies[i] * (1 - ramp)
            def spread(mscale):
                return 0.1 * mscale * math.log(factor) + 1
            of_all = scaling.get("mscale_all_dim", 0)
            magnitude = spread(scaling.get("mscale", 1)) / spread(of_all)
            temperature = spread(of_all) ** 2
            if self.mistake == "no_temperature":
                temperature = 1.0
        return frequencies, magnitude, temperature

    def norm(self, x, name, eps=None):
        eps = self.get("rms_norm_eps", 1e-6) if eps is None else eps
        factor = 1 / math.sqrt(dot(x, x) / len(x) + eps)
        return [a * factor * w for a, w in zip(x, self.weight(name))]

    def latent_norm(self, x, name):
        eps = self.get(NORM_EPS_OF_LATENTS, self.get("rms_norm_eps", 1e-6))
        return self.norm(x, name, 1e-6 if self.mistake == "eps_1e-6" else eps)

    def rotate(self, x):
        frequencies, magnitude, _ = self.rope
        out, half = list(x), len(x) // 2
        for i, frequency in enumerate(frequencies):
            paired = self.get("rope_interleave", True) != (self.mistake == "other_pairs")
            a, b = (2 * i, 2 * i + 1) if paired else (i, i + half)
            cosine = magnitude * math.cos(self.position * frequency)
            sine = magnitude * math.sin(self.position * frequency)
            out[a], out[b] = x[a] * cosine - x[b] * sine, x[a] * sine + x[b] * cosine
        return out

    def attention(self, layer, x):
        c, at = self.c, f"model.layers.{layer}.self_attn."
        nope, rope, value, rank = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"], c["kv_lora_rank"]
        if self.get("q_lora_rank"):
            latent = self.latent_norm(product(self.weight(at + "q_a_proj"), x), at + "q_a_layernorm")
            q = product(self.weight(at + "q_b_proj"), latent)
        else:
            q = product(self.weight(at + "q_proj"), x)
        kv = product(self.weight(at + "kv_a_proj_with_mqa"), x)
        latent = [bfloat16(a) for a in self.latent_norm(kv[:rank], at + "kv_a_layernorm")]
        rotated = [bfloat16(a) for a in self.rotate(kv[rank:])]
        up = product(self.weight(at + "kv_b_proj"), latent)
        heads = range(c["num_attention_heads"])
        keys = [up[h * (nope + value):][:nope] + rotated for h in heads]
        values = [up[h * (nope + value) + nope:][:value] for h in heads]
        self.cache[layer].append((keys, values))
        size = rank + rope if self.mistake == "scale_of_the_latent" else nope + rope
        scale = self.rope[2] / math.sqrt(size)
        out = []
        for h in heads:
            query = q[h * (nope + rope):][:nope + rope]
            query = query[:nope] + self.rotate(query[nope:])
            weights = softmax([scale * dot(query, token[0][h]) for token in self.cache[layer]])
            mean = [0.0] * value
            for weight, token in zip(weights, self.cache[layer]):
                mean = plus(mean, token[1][h], weight)
            out += mean
        return product(self.weight(at + "o_proj"), out)

    def gated(self, name, x):
        gate, up = product(self.weight(name + "gate_proj"), x), product(self.weight(name + "up_proj"), x)
        return product(self.weight(name + "down_proj"), [a * sigmoid(a) * b for a, b in zip(gate, up)])

    def has_experts(self, layer):
        kinds = self.get("mlp_layer_types")
        if kinds:
            return kinds[layer] == "sparse"
        return bool(self.get("n_routed_experts")) and layer >= self.get("first_k_dense_replace", 0)

    # Scores to weigh by, and to choose by: these as float32 adds them, in which equal ones are equal.
    def scores(self, at, x):
        logits = product(self.weight(at + "gate"), x)
        by_sigmoid = self.c["architectures"][0] in SIGMOID and self.mistake != "softmax"
        scores = [sigmoid(a) for a in logits] if by_sigmoid else softmax(logits)
        bias = self.tensors.get(at + "gate.e_score_correction_bias")
        if not bias:
            return scores, scores
        chosen_by = [float32(float32(a) + b) for a, b in zip(scores, bias)]
        return (chosen_by if self.mistake == "bias_in_weights" else scores), chosen_by

    def choose(self, chosen_by):
        experts = range(len(chosen_by))
        groups, kept = self.get("n_group", 1), self.get("topk_group", 1)
        if groups > 1 and self.get("topk_method") != "greedy" and self.mistake != "no_groups":
            size = len(chosen_by) // groups
            best = 2 if self.c["architectures"][0] in SIGMOID else 1
            best = 3 - best if self.mistake == "other_group_score" else best
            def total(group):
                return sum(sorted(chosen_by[group * size:][:size])[-best:])
            groups = sorted(range(groups), key=lambda group: (-total(group), group))[:kept]
            experts = [e for e in experts if e // size in groups]
        return sorted(experts, key=lambda e: (-chosen_by[e], e))[:self.c["num_experts_per_tok"]]

    def mlp(self, layer, x):
        at = f"model.layers.{layer}.mlp."
        if not self.has_experts(layer):
            return self.gated(at, x)
        scores, chosen_by = self.scores(at, x)
        experts = self.choose(chosen_by)
        weights = [scores[e] for e in experts]
        if self.get("norm_topk_prob", False):
            weights = [w / (sum(weights) + 1e-20) for w in weights]
        out = [0.0] * len(x)
        for expert, weight in zip(experts, weights):
            out = plus(out, self.gated(f"{at}experts.{expert}.", x), weight * self.get("routed_scaling_factor", 1.0))
        return plus(out, self.gated(at + "shared_experts.", x)) if self.get("n_shared_experts") else out

    def feed(self, token):
        """The logits of the next one."""
        x = self.weight("model.embed_tokens")[token]
        for layer in range(self.layers):
            at = f"model.layers.{layer}."
            x = plus(x, self.attention(layer, self.norm(x, at + "input_layernorm")))
            x = plus(x, self.mlp(layer, self.norm(x, at + "post_attention_layernorm")))
        self.position += 1
        return product(self.weight("lm_head"), self.norm(x, "model.norm"))


def shapes(c):
    """Names and shapes of all tensors."""
    hidden, heads = c["hidden_size"], c["num_attention_heads"]
    nope, rope, value, rank = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"], c["kv_lora_rank"]
    def mlp(name, inner):
        return {name + "gate_proj": [inner, hidden], name + "up_proj": [inner, hidden], name + "down_proj": [hidden, inner]}
    found = {"model.embed_tokens": [c["vocab_size"], hidden], "lm_head": [c["vocab_size"], hidden], "model.norm": [hidden]}
    for layer in range(c["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        queries = heads * (nope + rope)
        found |= {at + "input_layernorm": [hidden], at + "post_attention_layernorm": [hidden]}
        if c.get("q_lora_rank"):
            found |= {at + "self_attn.q_a_proj": [c["q_lora_rank"], hidden], at + "self_attn.q_a_layernorm": [c["q_lora_rank"]],
                      at + "self_attn.q_b_proj": [queries, c["q_lora_rank"]]}
        else:
            found |= {at + "self_attn.q_proj": [queries, hidden]}
        found |= {at + "self_attn.kv_a_proj_with_mqa": [rank + rope, hidden], at + "self_attn.kv_a_layernorm": [rank],
                  at + "self_attn.kv_b_proj": [heads * (nope + value), rank], at + "self_attn.o_proj": [hidden, heads * value]}
        if not Decoder.has_experts(Shapes(c), layer):
            found |= mlp(at + "mlp.", c["intermediate_size"])
            continue
        found[at + "mlp.gate"] = [c["n_routed_experts"], hidden]
        for expert in range(c["n_routed_experts"]):
            found |= mlp(f"{at}mlp.experts.{expert}.", c["moe_intermediate_size"])
        if c.get("n_shared_experts"):
            found |= mlp(at + "mlp.shared_experts.", c["n_shared_experts"] * c["moe_intermediate_size"])
    return {name + ".weight": shape for name, shape in found.items()}


class Shapes:
    def __init__(self, config):
        self.c = config

    get = Decoder.get


def random_tensors(case):
    """Rows of bfloat16 numbers by name, and the corrections of routers in float32."""
    c, draw = case["config"], random.Random(case["seed"])
    tensors = {}
    for name, shape in shapes(c).items():
        if len(shape) == 1:
            tensors[name] = [bfloat16(draw.uniform(0.7, 1.3)) for _ in range(shape[0])]
            continue
        size = 1.0 if "embed" in name else (2 if "lm_head" in name else 1) * shape[1] ** -0.5
        size *= next((factor for part, factor in case.get("sizes", {}).items() if part in name), 1.0)
        tensors[name] = [[bfloat16(draw.gauss(0, size)) for _ in range(shape[1])] for _ in range(shape[0])]
        if name.endswith("mlp.gate.weight") and c["architectures"][0] in SIGMOID:
            low, high = case.get("bias", [-0.2, 0.2])
            tensors[name[:-len("weight")] + "e_score_correction_bias"] = [
                float32(draw.uniform(low, high)) for _ in range(shape[0])]
    if case.get("further_layer"):  # that predicts a second token
        at = f"model.layers.{c['num_hidden_layers']}."
        tensors[at + "enorm.weight"] = [1.0] * 5
        tensors[at + "eh_proj.weight"] = [[1.0] * 3] * 2
    return tensors


def write_model(folder, config, tensors):
    folder.mkdir(parents=True, exist_ok=True)
    header, data = {}, b""
    for name, rows in tensors.items():
        wide = name.endswith("bias")
        shape = [len(rows)] + ([len(rows[0])] if isinstance(rows[0], list) else [])
        numbers = [x for row in rows for x in row] if len(shape) == 2 else rows
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
        if not wide:  # bfloat16 is the upper half of float32
            packed = b"".join(packed[i + 2:i + 4] for i in range(0, len(packed), 4))
        header[name] = {"dtype": "F32" if wide else "BF16", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "config.json").write_text(json.dumps(config))


def forced(decoder, prompt, continuation):
    for token in prompt:
        logits = decoder.feed(token)
    rows = []
    for token in continuation:
        peak = max(logits)
        total = peak + math.log(sum(math.exp(a - peak) for a in logits))
        rows.append([a - total for a in logits])
        logits = decoder.feed(token)
    return rows


def greedy(decoder, prompt, count):
    for token in prompt:
        logits = decoder.feed(token)
    tokens = []
    for _ in range(count):
        tokens.append(max(range(len(logits)), key=lambda token: logits[token]))
        logits = decoder.feed(tokens[-1])
    return tokens


def main():
    cases, name, folder = sys.argv[1:]
    every = json.loads(pathlib.Path(cases).read_text())
    case = next(one for one in every["cases"] if one["name"] == name)
    case["config"] = {**every["common"], **case["config"]}
    config, tensors = case["config"], random_tensors(case)
    write_model(pathlib.Path(folder), config, tensors)
    draw = random.Random(case["seed"] + 1)
    ids = [draw.randrange(2, config["vocab_size"]) for _ in range(case["prompt"] + case["steps"])]
    prompt, continuation = ids[:case["prompt"]], ids[case["prompt"]:]
    expected = {"prompt": prompt, "continuation": continuation,
                "log_probs": forced(Decoder(config, tensors), prompt, continuation),
                "greedy": greedy(Decoder(config, tensors), prompt, case["greedy"]),
                "mistakes": {mistake: forced(Decoder(config, tensors, mistake), prompt, continuation)
                             for mistake in case.get("mistakes", [])}}
    pathlib.Path(folder, "expected.json").write_text(json.dumps(expected))


main()
