"""Centroids, weighted by what a page can contribute.

Idea: attention output is a weighted sum of values, so a page whose values are small matters little even where its
keys match. The score is the centroid's dot product times the mean norm of the page's values.
Source: value-aware selection as in VATP (arXiv:2406.12335).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import GeMM, Mean, Multiply, topK
from vortex_torch.cache import L2Norm as CL2Norm, Mean as CMean


@register("value_energy_gate")
class ValueEnergyGate(vFlow):
    def __init__(self):
        super().__init__()
        self.query_mean = Mean(dim=1)
        self.score = GeMM()
        self.gate = Multiply()
        self.select = topK()
        self.centroid = CMean(dim=1)
        self.value_norm = CL2Norm(dim=2)
        self.mean_norm = CMean(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {"centroid": (1, head_dim), "energy": (1, 1)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)
        norms = self.value_norm(cache["v"], None, loc=loc, ctx=ctx)    # [1, block_size, 1]
        self.mean_norm(norms, cache["energy"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        query = self.query_mean(q, ctx=ctx)
        score = self.score(query, cache["centroid"], ctx=ctx)
        self.select(self.gate(score, cache["energy"], ctx=ctx), o, ctx=ctx)
