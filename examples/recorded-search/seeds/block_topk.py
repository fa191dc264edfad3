"""Block top-k: one centroid a page.

Idea: the mean of a page's keys stands for the page; a page's score is the dot product of that centroid with the mean
of the group's query heads. The simplest useful policy, and the baseline that others must beat.
Source: the block-sparse routing of Vortex (arXiv:2606.06453); centroids as in MoBA (arXiv:2502.13189).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import GeMM, Mean, topK
from vortex_torch.cache import Mean as CMean


@register("block_topk")
class BlockTopK(vFlow):
    def __init__(self):
        super().__init__()
        self.query_mean = Mean(dim=1)
        self.score = GeMM()
        self.select = topK()
        self.centroid = CMean(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {"centroid": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        query = self.query_mean(q, ctx=ctx)                        # [1, 1, head_dim]
        score = self.score(query, cache["centroid"], ctx=ctx)      # [S, 1, 1]
        self.select(score, o, ctx=ctx)
