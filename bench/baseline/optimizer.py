"""AdamW with the two groups of open_clip_train: no weight decay for norms, biases and the temperature."""

import torch


def adamw(model, numbers: dict, fused: bool) -> torch.optim.AdamW:
    decayed, others = [], []
    for name, parameter in model.named_parameters():
        exempt = parameter.ndim < 2 or any(
            part in name for part in ("bn", "ln", "bias", "logit_scale"))
        (others if exempt else decayed).append(parameter)
    return torch.optim.AdamW(
        [{"params": others, "weight_decay": 0.0},
         {"params": decayed, "weight_decay": numbers["weightDecay"]}],
        lr=numbers["lr"],
        betas=(numbers["beta1"], numbers["beta2"]),
        eps=numbers["eps"],
        fused=fused or None,
    )
