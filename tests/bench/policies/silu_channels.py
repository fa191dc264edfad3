"""SiLU of every channel of query times centroid, matched with the page's largest keys."""
from typing import Dict

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, Max, Multiply, Silu, topK
from vortex_torch.cache import Max as CMax, Mean as CMean


@register("silu_channels")
class SiluChannels(vFlow):
    def __init__(self):
        super().__init__()
        self.product = Multiply()
        self.activation = Silu(beta=-1.0)
        self.match = GeMM()
        self.over_heads = Max(dim=2)
        self.select = topK()
        self.centroid = CMean(dim=1)
        self.key_max = CMax(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {"centroid": (1, head_dim), "key_max": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)
        self.key_max(cache["k"], cache["key_max"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        active = self.activation(self.product(q, cache["centroid"], ctx=ctx), ctx=ctx)   # [S, heads, head_dim]
        match = self.match(active, cache["key_max"], ctx=ctx)                            # [S, 1, heads]
        self.select(self.over_heads(match, ctx=ctx), o, ctx=ctx)
