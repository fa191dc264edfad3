"""Centroids, the loudest head decides.

Idea: averaging the query heads of a group before scoring lets heads that look elsewhere drown the one that knows where
the answer is. Score every head by itself and take the largest. On a trained model it finds more needles than the group's
mean does, at the same reads (docs/benchmarks/selection.md).
Source: our own measurements; the centroid is that of block top-k (arXiv:2606.06453).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import GeMM, Max, topK
from vortex_torch.cache import Mean as CMean


@register("head_max_centroid")
class HeadMaxCentroid(vFlow):
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
        score = self.score(q, cache["centroid"], ctx=ctx)          # [S, 1, heads]
        self.select(self.over_heads(score, ctx=ctx), o, ctx=ctx)
