"""Centroids of small pages, the best head decides."""
from typing import Dict

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, Max, topK
from vortex_torch.cache import Mean as CMean


@register("small_blocks")
class SmallBlocks(vFlow):
    def __init__(self):
        super().__init__()
        self.score = GeMM()
        self.over_heads = Max(dim=2)
        self.select = topK()
        self.centroid = CMean(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {"centroid": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        self.select(self.over_heads(self.score(q, cache["centroid"], ctx=ctx), ctx=ctx), o, ctx=ctx)
