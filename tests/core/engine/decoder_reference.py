#!/usr/bin/env python3
"""Decoders with latent attention, with experts, or with both, written from their definitions for the engine to be
compared with: one token at a time, keys and values made for every head, float64. Only what is cached is rounded, to
bfloat16, as the engine's pool keeps it.

usage: decoder_reference.py CASES NAME FOLDER
Takes the case NAME of a file of cases, writes the model to FOLDER (config.json and random weights in model.safetensors)
and FOLDER/expected.json: `prompt` and `continuation`, `log_probs` before each token of the continuation, `greedy`
tokens after the prompt, and `mistakes`: log_probs of a decoder that makes the named one."""
import bisect
import json
import math
import pathlib
import random
import struct
import sys
from operator import mul

NORM_EPS_OF_LATENTS = "latent_norm_eps"
SIGMOID = {"DeepseekV3ForCausalLM", "Glm4MoeLiteForCausalLM", "MiniMaxM2ForCausalLM"}
MINIMAX = "MiniMaxM2ForCausalLM"
# What a layer's MLP, its correction and the parts of an MLP are called.
NAMES = {"mlp": "mlp.", "bias": "gate.e_score_correction_bias", "gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
MINIMAX_NAMES = {"mlp": "block_sparse_moe.", "bias": "e_score_correction_bias", "gate": "w1", "up": "w3", "down": "w2"}
# The numbers that an E4M3 byte of 0 to 126 stands for.
E4M3 = [(b & 7) * 2.0 ** -9 if b < 8 else (8 + (b & 7)) * 2.0 ** ((b >> 3) - 10) for b in range(127)]


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


class Config:
    """Reads a config.json; a null is an absent member."""
    def __init__(self, config):
        self.c = config
        self.architecture = config["architectures"][0]
        self.names = MINIMAX_NAMES if self.architecture == MINIMAX else NAMES

    def get(self, key, otherwise=None):
        value = self.c.get(key)
        return otherwise if value is None else value

    def experts(self):
        return next((self.get(key) for key in ("n_routed_experts", "num_experts", "num_local_experts") if self.get(key)), 0)

    def expert_size(self):
        return self.c["intermediate_size" if self.architecture == MINIMAX else "moe_intermediate_size"]

    def has_experts(self, layer):
        kinds = self.get("mlp_layer_types")
        if kinds:
            return kinds[layer] == "sparse"
        if layer in self.get("mlp_only_layers", []) or (layer + 1) % self.get("decoder_sparse_step", 1) != 0:
            return False
        return self.experts() > 0 and layer >= self.get("first_k_dense_replace", 0)

    def rotated(self):
        """Elements of a head that have a position."""
        return self.get("qk_rope_head_dim") or self.get("rotary_dim") or self.c["head_dim"]


class Decoder(Config):
    def __init__(self, config, tensors, mistake=""):
        super().__init__(config)
        self.tensors, self.mistake = tensors, mistake
        self.layers = config["num_hidden_layers"]
        self.cache = [[] for _ in range(self.layers)]  # [layer][token]: keys and values of all heads
        self.position = 0
        self.rope = self.rotary()

    def weight(self, name):
        return self.tensors[name + ".weight"]

    # Cosines and sines are those of these frequencies, times the magnitude; the logits times the temperature.
    def rotary(self):
        dim = self.c["head_dim"] if self.mistake == "rotate_all" else self.rotated()
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

    def norm(self, x, name, eps=None, weights=None):
        eps = self.get("rms_norm_eps", 1e-6) if eps is None else eps
        factor = 1 / math.sqrt(dot(x, x) / len(x) + eps)
        return [a * factor * w for a, w in zip(x, weights or self.weight(name))]

    def rotate(self, x):
        frequencies, magnitude, _ = self.rope
        out, half = list(x), len(frequencies)
        for i, frequency in enumerate(frequencies):
            paired = self.get("rope_interleave", self.latent) != (self.mistake == "other_pairs")
            a, b = (2 * i, 2 * i + 1) if paired else (i, i + half)
            cosine = magnitude * math.cos(self.position * frequency)
            sine = magnitude * math.sin(self.position * frequency)
            out[a], out[b] = x[a] * cosine - x[b] * sine, x[a] * sine + x[b] * cosine
        return out

    def gated(self, name, x):
        gate, up = (product(self.weight(name + self.names[part]), x) for part in ("gate", "up"))
        return product(self.weight(name + self.names["down"]), [a * sigmoid(a) * b for a, b in zip(gate, up)])

    # Scores to weigh by, and to choose by: these as float32 adds them, in which equal ones are equal.
    def scores(self, at, x):
        logits = product(self.weight(at + "gate"), x)
        by_sigmoid = self.architecture in SIGMOID and self.mistake != "softmax"
        scores = [sigmoid(a) for a in logits] if by_sigmoid else softmax(logits)
        bias = self.tensors.get(at + self.names["bias"])
        if not bias:
            return scores, scores
        chosen_by = [float32(float32(a) + b) for a, b in zip(scores, bias)]
        return (chosen_by if self.mistake == "bias_in_weights" else scores), chosen_by

    def choose(self, chosen_by):
        experts = range(len(chosen_by))
        groups, kept = self.get("n_group", 1), self.get("topk_group", 1)
        if groups > 1 and self.get("topk_method") != "greedy" and self.mistake != "no_groups":
            size = len(chosen_by) // groups
            best = 2 if self.architecture in SIGMOID else 1
            best = 3 - best if self.mistake == "other_group_score" else best
            def total(group):
                return sum(sorted(chosen_by[group * size:][:size])[-best:])
            groups = sorted(range(groups), key=lambda group: (-total(group), group))[:kept]
            experts = [e for e in experts if e // size in groups]
        return sorted(experts, key=lambda e: (-chosen_by[e], e))[:self.c["num_experts_per_tok"]]

    def normalised(self):
        return self.get("norm_topk_prob", self.architecture == MINIMAX) and self.mistake != "not_normalised"

    def mlp(self, layer, x):
        at = f"model.layers.{layer}.{self.names['mlp']}"
        if not self.has_experts(layer):
            return self.gated(at, x)
        scores, chosen_by = self.scores(at, x)
        experts = self.choose(chosen_by)
        weights = [scores[e] for e in experts]
        if self.normalised():
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

    def attended(self, layer, queries, scale):
        """Of each head the mean of its values, as `queries` weigh them; the cache has keys and values of each."""
        out = []
        for h, query in enumerate(queries):
            weights = softmax([scale * dot(query, keys[h]) for keys, _ in self.cache[layer]])
            mean = [0.0] * len(self.cache[layer][0][1][h])
            for weight, (_, values) in zip(weights, self.cache[layer]):
                mean = plus(mean, values[h], weight)
            out += mean
        return out


class Grouped(Decoder):
    latent = False

    def normed(self, heads, name):
        """Query or key heads, before they are rotated."""
        weights = self.weight(name)
        size = len(heads[0])
        if self.architecture != MINIMAX:
            return [self.norm(head, name) for head in heads]
        if self.mistake == "norm_each_head":
            return [self.norm(head, name, weights=weights[i * size:][:size]) for i, head in enumerate(heads)]
        row = self.norm([a for head in heads for a in head], name)
        return [row[i * size:][:size] for i in range(len(heads))]

    def attention(self, layer, x):
        c, at = self.c, f"model.layers.{layer}.self_attn."
        size, group = c["head_dim"], c["num_attention_heads"] // c["num_key_value_heads"]
        q, k, v = ([row[i:i + size] for i in range(0, len(row), size)]
                   for row in (product(self.weight(at + name), x) for name in ("q_proj", "k_proj", "v_proj")))
        q, k = ([self.rotate(head) for head in self.normed(heads, at + name)]
                for heads, name in ((q, "q_norm"), (k, "k_norm")))
        shared = range(c["num_attention_heads"])
        k, v = ([[bfloat16(a) for a in heads[h // group]] for h in shared] for heads in (k, v))
        self.cache[layer].append((k, v))
        return product(self.weight(at + "o_proj"), self.attended(layer, q, self.rope[2] / math.sqrt(size)))


class Latent(Decoder):
    latent = True

    def latent_norm(self, x, name):
        eps = self.get(NORM_EPS_OF_LATENTS, self.get("rms_norm_eps", 1e-6))
        return self.norm(x, name, 1e-6 if self.mistake == "eps_1e-6" else eps)

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
        queries = [q[h * (nope + rope):][:nope + rope] for h in heads]
        queries = [query[:nope] + self.rotate(query[nope:]) for query in queries]
        return product(self.weight(at + "o_proj"), self.attended(layer, queries, scale))


def decoder_of(config, tensors, mistake=""):
    return (Latent if config.get("kv_lora_rank") else Grouped)(config, tensors, mistake)


def latent_shapes(c, at):
    hidden, heads = c["hidden_size"], c["num_attention_heads"]
    nope, rope, value, rank = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"], c["kv_lora_rank"]
    queries = heads * (nope + rope)
    found = {at + "q_proj": [queries, hidden]}
    if c.get("q_lora_rank"):
        found = {at + "q_a_proj": [c["q_lora_rank"], hidden], at + "q_a_layernorm": [c["q_lora_rank"]],
                 at + "q_b_proj": [queries, c["q_lora_rank"]]}
    return found | {at + "kv_a_proj_with_mqa": [rank + rope, hidden], at + "kv_a_layernorm": [rank],
                    at + "kv_b_proj": [heads * (nope + value), rank], at + "o_proj": [hidden, heads * value]}


def grouped_shapes(c, at):
    hidden, size = c["hidden_size"], c["head_dim"]
    q, kv = c["num_attention_heads"] * size, c["num_key_value_heads"] * size
    whole = c["architectures"][0] == MINIMAX
    return {at + "q_proj": [q, hidden], at + "k_proj": [kv, hidden], at + "v_proj": [kv, hidden],
            at + "q_norm": [q if whole else size], at + "k_norm": [kv if whole else size], at + "o_proj": [hidden, q]}


def shapes(c):
    """Names and shapes of all tensors."""
    config, hidden = Config(c), c["hidden_size"]
    def mlp(name, inner):
        part = config.names
        return {name + part["gate"]: [inner, hidden], name + part["up"]: [inner, hidden], name + part["down"]: [hidden, inner]}
    found = {"model.embed_tokens": [c["vocab_size"], hidden], "lm_head": [c["vocab_size"], hidden], "model.norm": [hidden]}
    for layer in range(c["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        found |= {at + "input_layernorm": [hidden], at + "post_attention_layernorm": [hidden]}
        found |= (latent_shapes if c.get("kv_lora_rank") else grouped_shapes)(c, at + "self_attn.")
        at += config.names["mlp"]
        if not config.has_experts(layer):
            found |= mlp(at, c["intermediate_size"])
            continue
        found[at + "gate"] = [config.experts(), hidden]
        for expert in range(config.experts()):
            found |= mlp(f"{at}experts.{expert}.", config.expert_size())
        if c.get("n_shared_experts"):
            found |= mlp(at + "shared_experts.", c["n_shared_experts"] * c["moe_intermediate_size"])
    return {name + ".weight": shape for name, shape in found.items()}


def random_tensors(case):
    """Rows of bfloat16 numbers by name, and the corrections of routers in float32."""
    c, draw = case["config"], random.Random(case["seed"])
    config, tensors = Config(c), {}
    for name, shape in shapes(c).items():
        if len(shape) == 1:
            tensors[name] = [bfloat16(draw.uniform(0.7, 1.3)) for _ in range(shape[0])]
            continue
        size = 1.0 if "embed" in name else (2 if "lm_head" in name else 1) * shape[1] ** -0.5
        size *= next((factor for part, factor in case.get("sizes", {}).items() if part in name), 1.0)
        tensors[name] = [[bfloat16(draw.gauss(0, size)) for _ in range(shape[1])] for _ in range(shape[0])]
        if name.endswith(config.names["mlp"] + "gate.weight") and config.architecture in SIGMOID:
            low, high = case.get("bias", [-0.2, 0.2])
            tensors[name[:-len("gate.weight")] + config.names["bias"]] = [
                float32(draw.uniform(low, high)) for _ in range(shape[0])]
    if case.get("further_layer"):  # that predicts a second token
        at = f"model.layers.{c['num_hidden_layers']}."
        tensors[at + "enorm.weight"] = [1.0] * 5
        tensors[at + "eh_proj.weight"] = [[1.0] * 3] * 2
    return tensors


class Fp8:
    """A matrix in blocks of E4M3 numbers, each block with a scale."""
    def __init__(self, rows, block, draw):
        high, wide = block
        self.bits = [bytearray(len(row)) for row in rows]
        self.scales = [[0.0] * -(-len(rows[0]) // wide) for _ in range(-(-len(rows) // high))]
        for r, c in ((r, c) for r in range(len(self.scales)) for c in range(len(self.scales[0]))):
            cells = [(i, j) for i in range(r * high, min((r + 1) * high, len(rows)))
                     for j in range(c * wide, min((c + 1) * wide, len(rows[0])))]
            factor = draw.choice([0.5, 1.0, 2.0])  # so that no block is like its neighbours
            peak = factor * max(abs(rows[i][j]) for i, j in cells)
            # A scale of four bits times a number of four is a bfloat16 number.
            mantissa, exponent = math.frexp(peak / E4M3[-1])
            scale = self.scales[r][c] = math.ldexp(math.ceil(mantissa * 16) / 16, exponent)
            for i, j in cells:
                self.bits[i][j] = self.nearest(factor * rows[i][j] / scale)

    @staticmethod
    def nearest(x):
        at = bisect.bisect_left(E4M3, abs(x))
        at = min((b for b in (at - 1, at) if 0 <= b < len(E4M3)), key=lambda b: abs(E4M3[b] - abs(x)))
        return at | (0x80 if x < 0 else 0)

    def values(self, block, mistake=""):
        high, wide = block
        def scale(i, j):
            if mistake == "no_scales":
                return 1.0
            return self.scales[0][0] if mistake == "one_scale" else self.scales[i // high][j // wide]
        return [[(-1 if b & 0x80 else 1) * E4M3[b & 0x7F] * scale(i, j) for j, b in enumerate(row)]
                for i, row in enumerate(self.bits)]


def quantised(case, tensors):
    """The matrices of a checkpoint in fp8 by name."""
    block = case["config"].get("quantization_config", {}).get("weight_block_size")
    if not block:
        return {}
    draw = random.Random(case["seed"] + 2)
    left = case["config"]["quantization_config"]["modules_to_not_convert"]
    return {name: Fp8(rows, block, draw) for name, rows in tensors.items()
            if isinstance(rows[0], list) and not any(part in name for part in left)}


def decoded(case, tensors, fp8, mistake=""):
    block = case["config"].get("quantization_config", {}).get("weight_block_size")
    return {**tensors, **{name: matrix.values(block, mistake) for name, matrix in fp8.items()}}


def packed_numbers(numbers, dtype):
    packed = struct.pack(f"<{len(numbers)}f", *numbers)
    if dtype == "F32":
        return packed
    return b"".join(packed[i + 2:i + 4] for i in range(0, len(packed), 4))  # bfloat16 is the upper half of float32


def write_model(folder, case, tensors, fp8):
    folder.mkdir(parents=True, exist_ok=True)
    header, data = {}, b""
    entries = []
    for name, rows in tensors.items():
        shape = [len(rows)] + ([len(rows[0])] if isinstance(rows[0], list) else [])
        if name in fp8:
            scales, dtype = fp8[name].scales, case.get("scales", "F32")
            entries.append((name, "F8_E4M3", shape, b"".join(fp8[name].bits)))
            entries.append((name + "_scale_inv", dtype, [len(scales), len(scales[0])],
                            packed_numbers([x for row in scales for x in row], dtype)))
            continue
        dtype = "F32" if name.endswith("bias") else "BF16"
        entries.append((name, dtype, shape,
                        packed_numbers([x for row in rows for x in row] if len(shape) == 2 else rows, dtype)))
    for name, dtype, shape, packed in entries:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "config.json").write_text(json.dumps(case["config"]))


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
    config, drawn = case["config"], random_tensors(case)
    fp8 = quantised(case, drawn)
    write_model(pathlib.Path(folder), case, drawn, fp8)
    tensors = decoded(case, drawn, fp8)
    draw = random.Random(case["seed"] + 1)
    ids = [draw.randrange(2, config["vocab_size"]) for _ in range(case["prompt"] + case["steps"])]
    prompt, continuation = ids[:case["prompt"]], ids[case["prompt"]:]
    expected = {"prompt": prompt, "continuation": continuation,
                "log_probs": forced(decoder_of(config, tensors), prompt, continuation),
                "greedy": greedy(decoder_of(config, tensors), prompt, case["greedy"]),
                "mistakes": {mistake: forced(decoder_of(config, decoded(case, drawn, fp8, mistake), mistake), prompt,
                                             continuation) for mistake in case.get("mistakes", [])}}
    pathlib.Path(folder, "expected.json").write_text(json.dumps(expected))


main()
