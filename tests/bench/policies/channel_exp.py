"""The logarithm of a sum of exponentials over channels."""
from typing import Dict

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Exp, Log, Mean, Multiply, Sum, topK
from vortex_torch.cache import Max as CMax


@register("channel_exp")
class ChannelExp(vFlow):
    def __init__(self):
        super().__init__()
        self.query_mean = Mean(dim=1)
        self.product = Multiply()
        self.exponential = Exp(beta=0.125)
        self.over_channels = Sum(dim=2)
        self.logarithm = Log(alpha=1.0)
        self.select = topK()
        self.key_max = CMax(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {"key_max": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.key_max(cache["k"], cache["key_max"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        product = self.product(self.query_mean(q, ctx=ctx), cache["key_max"], ctx=ctx)
        total = self.over_channels(self.exponential(product, ctx=ctx), ctx=ctx)
        self.select(self.logarithm(total, ctx=ctx), o, ctx=ctx)
