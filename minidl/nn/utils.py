"""PyTorch's scripts look for these in `torch.nn.utils`; they are `minidl.optim`'s."""

from minidl.optim.clip import clip_grad_norm_, clip_grad_value_

__all__ = ["clip_grad_norm_", "clip_grad_value_"]
