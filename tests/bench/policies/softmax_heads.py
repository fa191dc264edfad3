"""Shares of every head over all pages, added up."""
from typing import Dict

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, Softmax, Sum, topK
from vortex_torch.cache import Mean as CMean


@register("softmax_heads")
class SoftmaxHeads(vFlow):
    def __init__(self):
        super().__init__()
        self.score = GeMM()
        self.share = Softmax(dim=0, scale=0.09)
        self.over_heads = Sum(dim=2)
        self.select = topK()
        self.centroid = CMean(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {"centroid": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        share = self.share(self.score(q, cache["centroid"], ctx=ctx), ctx=ctx)      # [S, 1, heads]
        self.select(self.over_heads(share, ctx=ctx), o, ctx=ctx)
