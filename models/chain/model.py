"""A standard Qwen3 decoder whose solution positions may attend to selected pages of the context only."""
import json
import os
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

PAGE = 16
CONFIG = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 256, "num_hidden_layers": 4,
          "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64, "intermediate_size": 640,
          "vocab_size": 1024, "rope_theta": 1000000, "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
          "hidden_act": "silu", "attention_bias": False, "max_position_embeddings": 8192, "torch_dtype": "bfloat16",
          "bos_token_id": 13, "eos_token_id": 14, "pad_token_id": 15}


@dataclass
class PagePolicy:
    """How solution positions attend: to the first page, the last two and `pages` chosen ones between, per kv head."""
    kind: str  # "dense", "block", "quest" or "random"
    pages: int = 0
    dense_layers: tuple = ()  # layers that attend densely all the same
    page_loss: bool = False  # also compute the page loss (training only)


def rms_norm(x, weight):
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + CONFIG["rms_norm_eps"])).to(x.dtype) * weight.to(x.dtype)


def linear(x, weight):
    return F.linear(x, weight.to(x.dtype))


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def project(x, cos, sin, norm, q, k, v, q_norm, k_norm):
    """The part of a layer before attention: [B, L, hidden] to q, k, v of [B, heads, L, head_dim]."""
    shape = (*x.shape[:2], -1, len(q_norm))
    h = rms_norm(x, norm)
    query = rotate(rms_norm(linear(h, q).view(shape), q_norm).transpose(1, 2), cos, sin)
    key = rotate(rms_norm(linear(h, k).view(shape), k_norm).transpose(1, 2), cos, sin)
    return query, key, linear(h, v).view(shape).transpose(1, 2)


def finish(x, attended, o, norm, gate, up, down):
    """The part of a layer after attention."""
    x = x + linear(attended.transpose(1, 2).flatten(2), o)
    h = rms_norm(x, norm)
    return x + linear(F.silu(linear(h, gate)) * linear(h, up), down)


def page_scores(kind, q, k):
    """Scores [B, K, S, pages] of the pages of k [B, K, L, D] for queries q [B, K, G, S, D] of one kv head's group."""
    batch, heads, length, dim = k.shape
    pages = -(-length // PAGE)
    if kind == "random":
        return torch.rand(batch, heads, q.shape[3], pages, device=q.device)
    paged = F.pad(k, (0, 0, 0, pages * PAGE - length)).view(batch, heads, pages, PAGE, dim)
    if kind == "block":
        return q.float().mean(2) @ paged.float().mean(3).transpose(-1, -2)
    high, low = (bound.float()[:, :, None].transpose(-1, -2) for bound in (paged.amax(3), paged.amin(3)))
    return (q.float().clamp(min=0) @ high + q.float().clamp(max=0) @ low).amax(2)


def page_attention(q, k, v, policy):
    """Attention of the last S positions (q [B, H, S, D]) over k, v [B, K, L, D]. Returns it and the page loss or None."""
    batch, heads, count, dim = q.shape
    kv_heads, length = k.shape[1:3]
    q = q.reshape(batch, kv_heads, -1, count, dim)
    position = torch.arange(length - count, length, device=q.device)
    page, current = torch.arange(-(-length // PAGE), device=q.device), position[:, None] // PAGE
    middle = (page > 0) & (page < current - 1)
    keep = (page <= current)[None, None]
    if policy.kind != "dense":
        with torch.no_grad():
            scores = page_scores(policy.kind, q, k).masked_fill(~middle, -torch.inf)
            chosen = scores.topk(min(policy.pages, len(page)), -1).indices
            keep = torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, chosen, True) & middle | keep & ~middle
    logits = (q.flatten(2, 3) @ k.transpose(-1, -2)).view(batch, kv_heads, -1, count, length).float() * dim**-0.5
    causal = torch.arange(length, device=q.device) <= position[:, None]
    allowed = keep.repeat_interleave(PAGE, -1)[..., :length] & causal
    weights = logits.masked_fill(~allowed[:, :, None], -torch.inf).softmax(-1).to(v.dtype)
    attended = (weights.view(batch, kv_heads, -1, length) @ v).view(batch, heads, count, dim)
    return attended, page_loss(policy.kind, q, k, logits, causal, middle) if policy.page_loss else None


def page_loss(kind, q, k, logits, causal, middle):
    """Cross-entropy between attention mass and page scores over the middle pages, summed over the kv heads.

    The target is a constant, the squared mass: heads that look everywhere count little, heads that fetch from one page
    count fully. The loss lets queries and keys learn to make the page of the wanted key score high.
    """
    with torch.no_grad():
        mass = logits.masked_fill(~causal, -torch.inf).softmax(-1).mean(2)
        mass = F.pad(mass, (0, len(middle[0]) * PAGE - mass.shape[-1])).unflatten(-1, (-1, PAGE)).sum(-1) * middle
    scale = (4 if kind == "block" else 1) * q.shape[-1]**-0.5
    scores = (page_scores(kind, q, k) * scale).masked_fill(~middle, -1e4)
    return -(mass**2 * scores.log_softmax(-1)).sum((1, 3)).mean()


class RmsNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        inner, kv = c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
        self.q_proj = nn.Linear(c["hidden_size"], inner, bias=False)
        self.k_proj = nn.Linear(c["hidden_size"], kv, bias=False)
        self.v_proj = nn.Linear(c["hidden_size"], kv, bias=False)
        self.o_proj = nn.Linear(inner, c["hidden_size"], bias=False)
        self.q_norm, self.k_norm = RmsNorm(c["head_dim"]), RmsNorm(c["head_dim"])


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.up_proj = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.down_proj = nn.Linear(c["intermediate_size"], c["hidden_size"], bias=False)


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = RmsNorm(c["hidden_size"]), RmsNorm(c["hidden_size"])
        self.self_attn, self.mlp = Attention(c), Mlp(c)


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = RmsNorm(c["hidden_size"])


class Qwen3(nn.Module):
    """Parameters carry Hugging Face's names. `project` and `finish` may be replaced by compiled versions."""

    def __init__(self, config):
        super().__init__()
        self.config, self.model = config, Decoder(config)
        self.project, self.finish = project, finish
        half = config["head_dim"] // 2
        frequency = config["rope_theta"] ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(config["max_position_embeddings"], dtype=torch.float64)[:, None] * frequency
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, 0, parameter.shape[-1]**-0.5)

    def forward(self, tokens, first_output, policy=None, dtype=torch.float32, cache=None, offset=0):
        """Logits of positions first_output.. of tokens [B, L], whose first position is `offset`, and the page loss.

        Positions before first_output attend densely, as do all without a policy. With a cache (a list of (k, v) of
        [B, K, capacity, D], one a layer) keys and values are stored at offset.. and read from 0.
        """
        length = tokens.shape[1]
        x = self.model.embed_tokens(tokens).to(dtype)
        cos, sin = (table[offset:offset + length].to(dtype) for table in (self.cos, self.sin))
        losses = []
        for i, layer in enumerate(self.model.layers):
            a, m = layer.self_attn, layer.mlp
            q, k, v = self.project(x, cos, sin, layer.input_layernorm.weight, a.q_proj.weight, a.k_proj.weight,
                                   a.v_proj.weight, a.q_norm.weight, a.k_norm.weight)
            if cache is not None:
                for stored, new in zip(cache[i], (k, v)):
                    stored[:, :, offset:offset + length] = new
                k, v = (stored[:, :, :offset + length] for stored in cache[i])
            dense = length if policy is None or i in policy.dense_layers and cache is None else first_output
            parts = []
            if dense:
                parts.append(F.scaled_dot_product_attention(q[:, :, :dense], k[:, :, :dense], v[:, :, :dense],
                                                            is_causal=True, enable_gqa=True))
            if dense < length:
                here = PagePolicy("dense") if i in policy.dense_layers else policy
                attended, loss = page_attention(q[:, :, dense:], k, v, here)
                parts.append(attended)
                losses += [loss] if loss is not None else []
            x = self.finish(x, torch.cat(parts, 2), a.o_proj.weight, layer.post_attention_layernorm.weight,
                            m.gate_proj.weight, m.up_proj.weight, m.down_proj.weight)
        logits = linear(rms_norm(x[:, first_output:], self.model.norm.weight), self.model.embed_tokens.weight)
        return logits.float(), sum(losses) if losses else None


def save(model, folder):
    """Writes config.json, generation_config.json and model.safetensors (bf16)."""
    from safetensors.torch import save_file
    generation = {"bos_token_id": 13, "eos_token_id": 14, "pad_token_id": 15, "do_sample": False}
    for name, content in (("config.json", model.config), ("generation_config.json", generation)):
        with open(os.path.join(folder, name), "w") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
    tensors = {name: tensor.to(torch.bfloat16).contiguous().cpu() for name, tensor in model.state_dict().items()}
    save_file(tensors, os.path.join(folder, "model.safetensors"), {"format": "pt"})


def load(folder, **changes):
    """A saved model in float32. `changes` of the configuration may enlarge the vocabulary: new words begin as draws
    from the distribution of the old ones' embeddings."""
    from safetensors.torch import load_file
    with open(os.path.join(folder, "config.json")) as file:
        model = Qwen3({**json.load(file), **changes})
    tensors = load_file(os.path.join(folder, "model.safetensors"))
    name = "model.embed_tokens.weight"
    known, wanted = tensors[name].float(), model.config["vocab_size"]
    if wanted > len(known):
        new = known.mean(0) + known.std(0) * torch.randn(wanted - len(known), known.shape[1])
        tensors[name] = torch.cat([known, new])
    model.load_state_dict(tensors)
    return model.float()
