"""What all pages have in common is taken off before the product."""
from typing import Dict

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, Load, Max, Mean, topK
from vortex_torch.cache import Mean as CMean


@register("centred")
class Centred(vFlow):
    def __init__(self):
        super().__init__()
        self.load = Load()
        self.over_pages = Mean(dim=0)
        self.difference = Add(alpha=1.0, beta=-1.0)
        self.score = GeMM()
        self.over_heads = Max(dim=2)
        self.select = topK()
        self.centroid = CMean(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {"centroid": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        common = self.over_pages(self.load(cache["centroid"], ctx=ctx), ctx=ctx)
        centred = self.difference(cache["centroid"], common, ctx=ctx)
        self.select(self.over_heads(self.score(q, centred, ctx=ctx), ctx=ctx), o, ctx=ctx)
