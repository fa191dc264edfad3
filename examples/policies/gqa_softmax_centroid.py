"""Centroids, one softmax a query head.

Idea: heads of a group differ in scale, so a plain maximum over them follows the loudest. A softmax over pages puts
each head's scores on the same scale first; a page counts if any head wants it.
Source: the grouped-query variant of block-sparse routing in Vortex (arXiv:2606.06453).
"""
import math

import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import GeMM, Max, Softmax, topK
from vortex_torch.cache import Mean as CMean


@register("gqa_softmax_centroid")
class GqaSoftmaxCentroid(vFlow):
    def __init__(self):
        super().__init__()
        self.score = GeMM()
        self.over_heads = Max(dim=2)
        self.select = topK()
        self.centroid = CMean(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        self.softmax = Softmax(dim=0, scale=1.0 / math.sqrt(head_dim))
        return {"centroid": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        score = self.score(q, cache["centroid"], ctx=ctx)          # [S, 1, heads]
        share = self.softmax(score, ctx=ctx)                       # over pages, head by head
        self.select(self.over_heads(share, ctx=ctx), o, ctx=ctx)
