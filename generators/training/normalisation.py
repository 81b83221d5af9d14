"""Group normalisation that is fast in bfloat16 on CPUs: torch's own takes half of an autoencoder's step."""

# pyright: basic

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def quicken(module: nn.Module) -> None:
    """Replace each GroupNorm of the module by `QuickGroupNorm`; the values agree within bfloat16's precision."""
    for part in module.modules():
        if type(part) is nn.GroupNorm:
            part.__class__ = QuickGroupNorm


class QuickGroupNorm(nn.GroupNorm):
    """`torch.nn.GroupNorm` that uses `_QuickGroupNorm` in training."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise each group of channels."""
        if not (input.dtype == torch.bfloat16 and input.dim() == 4 and input.is_cpu and torch.is_grad_enabled()):
            return super().forward(input)
        return _QuickGroupNorm.apply(input, self.weight, self.bias, self.num_groups, self.eps)


class _QuickGroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        batch, channels = x.shape[:2]
        width = channels // groups
        count = width * x.shape[2] * x.shape[3]
        mean, square = (
            values.sum((2, 3), dtype=torch.float32).view(batch, groups, width).sum(-1) / count for values in (x, x * x)
        )
        rstd = (square - mean * mean).clamp_(min=0).add_(eps).rsqrt_()
        scale = rstd.repeat_interleave(width, 1) * weight.float()
        shift = bias.float() - mean.repeat_interleave(width, 1) * scale
        ctx.save_for_backward(x, weight, mean, rstd)
        return torch.addcmul(shift[:, :, None, None].to(x.dtype), x, scale[:, :, None, None].to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, weight, mean, rstd = ctx.saved_tensors
        grad = grads[0]
        batch, groups = mean.shape
        width = x.shape[1] // groups
        mean = mean.repeat_interleave(width, 1)
        rstd = rstd.repeat_interleave(width, 1)
        sums = grad.sum((2, 3)).float()
        scaled = ((grad * x).sum((2, 3)).float() - mean * sums) * rstd
        count = width * x.shape[2] * x.shape[3]

        def over_group(values: Tensor) -> Tensor:
            means = (values * weight.float()).view(batch, groups, width).sum(-1) / count
            return means.repeat_interleave(width, 1)

        along, pull = over_group(sums), over_group(scaled) * rstd * rstd
        by_grad, by_x, rest = (
            term[:, :, None, None].to(x.dtype) for term in (weight.float() * rstd, -pull, pull * mean - rstd * along)
        )
        found = torch.addcmul(rest, grad, by_grad).addcmul_(x, by_x)
        return found, scaled.sum(0).to(weight.dtype), sums.sum(0).to(weight.dtype), None, None
