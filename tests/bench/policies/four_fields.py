"""A bound on every key, the mean and the values' mean: four summaries a page."""
from typing import Dict

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, Max, Maximum, Mean, Multiply, Sum, topK
from vortex_torch.cache import Max as CMax, Mean as CMean, Min as CMin


@register("four_fields")
class FourFields(vFlow):
    def __init__(self):
        super().__init__()
        self.query_mean = Mean(dim=1)
        self.with_max = Multiply()
        self.with_min = Multiply()
        self.bound = Maximum()
        self.over_channels = Sum(dim=2)
        self.over_heads = Max(dim=1)
        self.key_match = GeMM()
        self.value_match = GeMM()
        self.means = Add(alpha=0.5, beta=0.25)
        self.blend = Add(alpha=0.5, beta=1.0)
        self.select = topK()
        self.key_max = CMax(dim=1)
        self.key_min = CMin(dim=1)
        self.key_mean = CMean(dim=1)
        self.value_mean = CMean(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {name: (1, head_dim) for name in ("key_max", "key_min", "key_mean", "value_mean")}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.key_max(cache["k"], cache["key_max"], loc=loc, ctx=ctx)
        self.key_min(cache["k"], cache["key_min"], loc=loc, ctx=ctx)
        self.key_mean(cache["k"], cache["key_mean"], loc=loc, ctx=ctx)
        self.value_mean(cache["v"], cache["value_mean"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        query = self.query_mean(q, ctx=ctx)
        bound = self.bound(self.with_max(q, cache["key_max"], ctx=ctx), self.with_min(q, cache["key_min"], ctx=ctx),
                           ctx=ctx)
        best = self.over_heads(self.over_channels(bound, ctx=ctx), ctx=ctx)
        means = self.means(self.key_match(query, cache["key_mean"], ctx=ctx),
                           self.value_match(query, cache["value_mean"], ctx=ctx), ctx=ctx)
        self.select(self.blend(best, means, ctx=ctx), o, ctx=ctx)
