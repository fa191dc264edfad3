"""Centroid scores smoothed along the sequence.

Idea: relevant text spans pages. A causal filter lets a page inherit part of its predecessors' scores, so a passage
that starts strongly is read to its end.
Source: the Conv1d operation of Vortex (arXiv:2606.06453); pooling of neighbours as in SnapKV (arXiv:2404.14469).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import Conv1d, GeMM, Mean, topK
from vortex_torch.cache import Mean as CMean


@register("conv1d_smoothing")
class Conv1dSmoothing(vFlow):
    TAPS = [0.6, 0.3, 0.1]  # this page, the one before, the one before that

    def __init__(self):
        super().__init__()
        self.query_mean = Mean(dim=1)
        self.score = GeMM()
        self.smooth = Conv1d(weight=[[[tap]] for tap in self.TAPS])
        self.select = topK()
        self.centroid = CMean(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {"centroid": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        query = self.query_mean(q, ctx=ctx)
        score = self.score(query, cache["centroid"], ctx=ctx)
        self.select(self.smooth(score, ctx=ctx), o, ctx=ctx)
