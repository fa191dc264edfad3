"""A slow copy of the centroid, moved towards it every step, scored by both heads."""
from typing import Dict

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, Load, Max, Save, topK
from vortex_torch.cache import Fill as CFill, Mean as CMean


@register("momentum_query")
class MomentumQuery(vFlow):
    def __init__(self):
        super().__init__()
        self.load = Load()
        self.blend = Add(alpha=0.9, beta=0.1)
        self.save = Save()
        self.score = GeMM()
        self.over_heads = Max(dim=2)
        self.select = topK()
        self.centroid = CMean(dim=1)
        self.start = CFill(alpha=0.0)

    def create_cache(self, block_size: int, head_dim: int):
        return {"centroid": (1, head_dim), "slow": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)
        self.start(cache["slow"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        slow = self.blend(self.load(cache["slow"], ctx=ctx), cache["centroid"], ctx=ctx)
        self.save(slow, cache["slow"], ctx=ctx)
        self.select(self.over_heads(self.score(q, slow, ctx=ctx), ctx=ctx), o, ctx=ctx)
