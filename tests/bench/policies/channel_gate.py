"""Every channel votes through a sigmoid, for every head."""
from typing import Dict

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Max, Multiply, Sigmoid, Sum, topK
from vortex_torch.cache import Mean as CMean


@register("channel_gate")
class ChannelGate(vFlow):
    def __init__(self):
        super().__init__()
        self.product = Multiply()
        self.gate = Sigmoid(beta=-1.0)
        self.over_channels = Sum(dim=2)
        self.over_heads = Max(dim=1)
        self.select = topK()
        self.centroid = CMean(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {"centroid": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        gate = self.gate(self.product(q, cache["centroid"], ctx=ctx), ctx=ctx)      # [S, heads, head_dim]
        self.select(self.over_heads(self.over_channels(gate, ctx=ctx), ctx=ctx), o, ctx=ctx)
