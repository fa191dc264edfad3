"""Every channel of a page's product is smoothed with the page before, then the positive ones are summed."""
from typing import Dict

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Conv1d, Mean, Multiply, Relu, Sum, topK
from vortex_torch.cache import Mean as CMean


@register("conv_channels")
class ConvChannels(vFlow):
    def __init__(self):
        super().__init__()
        self.query_mean = Mean(dim=1)
        self.product = Multiply()
        self.positive = Relu(alpha=0.0, beta=0.0)
        self.over_channels = Sum(dim=2)
        self.select = topK()
        self.centroid = CMean(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        self.smooth = Conv1d(weight=[[[0.7] * head_dim], [[0.3] * head_dim]])
        return {"centroid": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroid"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        product = self.product(self.query_mean(q, ctx=ctx), cache["centroid"], ctx=ctx)
        smooth = self.smooth(product, ctx=ctx)                                      # [S, 1, head_dim]
        self.select(self.over_channels(self.positive(smooth, ctx=ctx), ctx=ctx), o, ctx=ctx)
