"""Mean and spread of a page's keys, matched with the query and with its size."""
from typing import Dict

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Abs, Add, GeMM, Max, topK
from vortex_torch.cache import L2Norm as CL2Norm, Mean as CMean


@register("two_products")
class TwoProducts(vFlow):
    def __init__(self):
        super().__init__()
        self.mean_match = GeMM()
        self.size = Abs(beta=1.0)
        self.spread_match = GeMM()
        self.blend = Add(alpha=1.0, beta=0.25)
        self.over_heads = Max(dim=2)
        self.select = topK()
        self.centroid = CMean(dim=1)
        self.spread = CL2Norm(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {"centroid": (1, head_dim), "spread": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)
        self.spread(cache["k"], cache["spread"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        mean_match = self.mean_match(q, cache["centroid"], ctx=ctx)
        spread_match = self.spread_match(self.size(q, ctx=ctx), cache["spread"], ctx=ctx)
        both = self.blend(mean_match, spread_match, ctx=ctx)                        # [S, 1, heads]
        self.select(self.over_heads(both, ctx=ctx), o, ctx=ctx)
