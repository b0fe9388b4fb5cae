"""Training steps and inference as OpenCLIP's own trainer and its documentation do them."""

import base64
import json
import math
import time
from contextlib import nullcontext
from pathlib import Path

import open_clip
import torch
from open_clip.loss import ClipLoss
from safetensors.torch import load_file
from torch.nn.attention import SDPBackend, sdpa_kernel

from optimizer import adamw

CHECKED_STEPS = 3


def open_workload(workload: dict, settings: dict):
    kinds = {"train": Training, "image": ImageInference, "text": TextInference}
    return kinds[workload["kind"]](workload, settings)


class Workload:
    """A model with its weights, and batches that are repeated in order."""

    def __init__(self, workload: dict, settings: dict):
        self.settings = settings
        # int8 is the other implementation's alone: bf16 is the fastest that there is here.
        self.bf16 = workload["precision"] != "fp32"
        folder = Path(workload["folder"])
        model = open_clip.create_model(f"local-dir:{folder / 'model'}",
                                       precision=settings["weights"])
        if settings["channelsLast"]:
            model = model.to(memory_format=torch.channels_last)
        self.model = model
        preprocess = json.loads((folder / "model" / "open_clip_config.json").read_text())
        self.pixels, self.ids = self.read_batches(folder, preprocess["preprocess_cfg"])
        self.step = 0

    def read_batches(self, folder: Path, preprocess: dict):
        """Normalised pixels and padded ids, ready before the clock starts."""
        tensors = load_file(folder / "batches.safetensors")
        mean = torch.tensor(preprocess["mean"]).view(1, 3, 1, 1)
        std = torch.tensor(preprocess["std"]).view(1, 3, 1, 1)
        pixels = [((batch.permute(0, 3, 1, 2) / 255 - mean) / std).contiguous()
                  for batch in tensors["pixels"]]
        if self.settings["channelsLast"]:
            pixels = [batch.to(memory_format=torch.channels_last) for batch in pixels]
        return pixels, list(tensors["ids"])

    def contexts(self):
        """Autocast and the kernel of attention that the settings ask for."""
        autocast = self.bf16 and self.settings["weights"] == "fp32"
        return (
            torch.amp.autocast("cpu", dtype=torch.bfloat16) if autocast else nullcontext(),
            sdpa_kernel(SDPBackend.MATH) if self.settings["mathAttention"] else nullcontext(),
        )

    def compiled(self, function):
        return torch.compile(function) if self.settings["compile"] else function

    def next_batch(self) -> int:
        index = self.step % len(self.pixels)
        self.step += 1
        return index

    def run(self, steps: int) -> dict:
        start = time.perf_counter()
        for _ in range(steps):
            self.run_step()
        return {"seconds": time.perf_counter() - start}


class Training(Workload):
    """open_clip_train's step: forward, contrastive loss, backward, AdamW, clamp of the scale."""

    def __init__(self, workload: dict, settings: dict):
        super().__init__(workload, settings)
        self.model.train()
        self.forward = self.compiled(self.model)
        self.loss = ClipLoss()
        self.optimizer = adamw(self.model, workload["optimizer"], settings["fusedAdamW"])

    def run_step(self, measure=None) -> float:
        batch = self.next_batch()
        self.optimizer.zero_grad()
        autocast, attention = self.contexts()
        with attention:
            with autocast:
                # Models of SigLIP give the logits' bias as well, which this loss has no use for.
                image, text, scale, *_ = self.forward(self.pixels[batch], self.ids[batch])
                loss = self.loss(image, text, scale)
            loss.backward()
        if measure:
            measure()
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
        return loss.item()

    def check(self) -> dict:
        norms = []

        def measure():
            gradients = [parameter.grad for parameter in self.model.parameters()
                         if parameter.grad is not None]
            norms.append(torch.nn.utils.get_total_norm(gradients).item())

        losses, times = [], []
        for _ in range(CHECKED_STEPS):
            start = time.perf_counter()
            losses.append(self.run_step(measure))
            times.append(time.perf_counter() - start)
        return {"losses": losses, "gradNorms": norms, "seconds": min(times)}


class Inference(Workload):
    """Features of length 1, without gradients."""

    def __init__(self, workload: dict, settings: dict):
        super().__init__(workload, settings)
        self.model.eval()
        self.encode = self.compiled(self.encoder())

    @torch.inference_mode()
    def run_step(self) -> torch.Tensor:
        autocast, attention = self.contexts()
        with autocast, attention:
            return self.encode(self.batch(self.next_batch()), normalize=True)

    def check(self) -> dict:
        self.run_step()  # compiles, and fills caches
        self.step = 0
        start = time.perf_counter()
        features = self.run_step().float()
        seconds = time.perf_counter() - start
        data = features.contiguous().numpy().tobytes()
        return {"features": base64.b64encode(data).decode(), "seconds": seconds}


class ImageInference(Inference):
    def encoder(self):
        return self.model.encode_image

    def batch(self, index: int) -> torch.Tensor:
        pixels = self.pixels[index]
        return pixels.bfloat16() if self.settings["weights"] == "bf16" else pixels


class TextInference(Inference):
    def encoder(self):
        return self.model.encode_text

    def batch(self, index: int) -> torch.Tensor:
        return self.ids[index]
