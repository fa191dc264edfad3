"""Mixins, class constants of subclasses, helper methods, an idempotent register, several policies in one module."""
import torch
from typing import Dict, List, Optional

from vortex_torch.flow.flow import vFlow
from vortex_torch.flow.registry import register as _register_once, _REGISTRY
from vortex_torch.indexer import (
    Add, GeMM, MaskSlice, Mean, Multiply, topK,
)
from vortex_torch.cache import Mean as CMean
from vortex_torch.abs import ContextBase

WIDTH = 16
GROUPS = 64 // WIDTH  # 4


def register(name):
    """Skips a second registration when the module runs twice."""
    def decorate(cls):
        if name not in _REGISTRY:
            _register_once(name)(cls)
        return cls
    return decorate


class _Masked:
    """Keeps the channels of self.KEEP."""
    KEEP: List[int] = list(range(GROUPS))

    def _make_masks(self):
        self.masks = [
            MaskSlice(start=g * WIDTH, end=(g + 1) * WIDTH, dim=2,
                      alpha=1.0, beta=0.0)
            for g in self.KEEP
        ]
        self.adds = [Add() for _ in range(max(0, len(self.KEEP) - 1))]
        self.times = Multiply()

    def _mask(self, q, ctx):
        m = self.masks[0](q, ctx=ctx)
        for op, add in zip(self.masks[1:], self.adds):
            m = add(m, op(q, ctx=ctx), ctx=ctx)
        return self.times(q, m, ctx=ctx)


class _Centroid(_Masked, vFlow):
    def __init__(self):
        super().__init__()
        self._make_masks()
        self.mean = Mean(dim=1); self.gemm = GeMM()
        self.select = topK(); self.reduce = CMean(dim=1)
    def forward_indexer(self, q, o, cache, ctx):
        q_mean = self.mean(self._mask(q, ctx), ctx=ctx)
        self.select(self.gemm(q_mean, cache["centroids"], ctx=ctx), o, ctx=ctx)
    def forward_cache(self, cache, loc, ctx):
        self.reduce(cache["k"], cache["centroids"], loc=loc, ctx=ctx)
    def create_cache(self, block_size, head_dim):
        return {"centroids": (1, head_dim)}


@register("channels_all")
class ChannelsAll(_Centroid):
    pass

@register("channels_first")
class ChannelsFirst(_Centroid):
    KEEP = [0]

@register("channels_odd")
class ChannelsOdd(_Centroid):
    KEEP = [1, 3]
