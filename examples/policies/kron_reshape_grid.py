"""A grid of sub-blocks and channel groups.

Idea: split a page into quarters and a head into groups of channels. Every channel group votes for the quarter that
suits it best, and the votes add up: between one centroid (all channels agree on one mean) and Quest (every channel
picks its own extreme).
Source: ours; between the centroids of MoBA (arXiv:2502.13189) and the bound of Quest (arXiv:2406.10774).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import Kron, Max, Mean, Reshape, Sum, topK
from vortex_torch.cache import MeanInterleave as CMeanInterleave


@register("kron_reshape_grid")
class KronReshapeGrid(vFlow):
    PARTS = 4
    CHANNEL_GROUPS = 8

    def __init__(self):
        super().__init__()
        self.query_mean = Mean(dim=1)
        self.products = Kron(dim=1)
        self.over_channels = Sum(dim=2)
        self.grid = Reshape(-1, self.PARTS, self.CHANNEL_GROUPS)
        self.best_part = Max(dim=1)
        self.votes = Sum(dim=2)
        self.select = topK()

    def create_cache(self, block_size: int, head_dim: int):
        self.centroids = CMeanInterleave(dim=1, k=block_size // self.PARTS)
        self.split = Reshape(-1, self.PARTS * self.CHANNEL_GROUPS, head_dim // self.CHANNEL_GROUPS)
        return {"centroids": (self.PARTS, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroids(cache["k"], cache["centroids"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        query = self.query_mean(q, ctx=ctx)                                # [1, 1, head_dim]
        products = self.products(query, cache["centroids"], ctx=ctx)       # [S, parts, head_dim]
        partial = self.over_channels(self.split(products, ctx=ctx), ctx=ctx)
        grid = self.grid(partial, ctx=ctx)                                 # [S, parts, channel groups]
        self.select(self.votes(self.best_part(grid, ctx=ctx), ctx=ctx), o, ctx=ctx)
