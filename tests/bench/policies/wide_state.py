"""A decaying average of what the query asked of every channel of every page."""
from typing import Dict

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, Load, Mean, Multiply, Save, Sum, topK
from vortex_torch.cache import Fill as CFill, Mean as CMean


@register("wide_state")
class WideState(vFlow):
    def __init__(self):
        super().__init__()
        self.query_mean = Mean(dim=1)
        self.product = Multiply()
        self.load = Load()
        self.blend = Add(alpha=0.5, beta=1.0)
        self.save = Save()
        self.total = Sum(dim=2)
        self.select = topK()
        self.centroid = CMean(dim=1)
        self.start = CFill(alpha=0.0)

    def create_cache(self, block_size: int, head_dim: int):
        return {"centroid": (1, head_dim), "asked": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)
        self.start(cache["asked"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        query = self.query_mean(q, ctx=ctx)
        product = self.product(query, cache["centroid"], ctx=ctx)
        asked = self.blend(self.load(cache["asked"], ctx=ctx), product, ctx=ctx)
        self.save(asked, cache["asked"], ctx=ctx)
        self.select(self.total(asked, ctx=ctx), o, ctx=ctx)
