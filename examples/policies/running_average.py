"""Centroid scores averaged over steps.

Idea: consecutive tokens attend to similar pages, and a single query is noisy. Every page keeps a decaying average of
its scores: r <- 0.5 r + q.c, and the average selects. Pages start at 0 when they fill up.
Source: the heavy-hitter idea of H2O (arXiv:2306.14048) with the state fields of Vortex (arXiv:2606.06453).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import Add, GeMM, Load, Mean, Save, topK
from vortex_torch.cache import Fill as CFill, Mean as CMean


@register("running_average")
class RunningAverage(vFlow):
    DECAY = 0.5

    def __init__(self):
        super().__init__()
        self.query_mean = Mean(dim=1)
        self.score = GeMM()
        self.load = Load()
        self.blend = Add(alpha=self.DECAY, beta=1.0)
        self.save = Save()
        self.select = topK()
        self.centroid = CMean(dim=1)
        self.start = CFill(alpha=0.0)

    def create_cache(self, block_size: int, head_dim: int):
        return {"centroid": (1, head_dim), "average": (1, 1)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)
        self.start(cache["average"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        query = self.query_mean(q, ctx=ctx)
        score = self.score(query, cache["centroid"], ctx=ctx)
        average = self.blend(self.load(cache["average"], ctx=ctx), score, ctx=ctx)
        self.save(average, cache["average"], ctx=ctx)
        self.select(average, o, ctx=ctx)
