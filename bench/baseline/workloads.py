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
        self.device = torch.device(workload["device"])
        self.on_gpu = self.device.type == "cuda"
        if self.on_gpu:
            torch.backends.cudnn.benchmark = True  # as open_clip_train
        self.bf16 = workload["precision"] == "bf16"
        folder = Path(workload["folder"])
        model = open_clip.create_model(f"local-dir:{folder / 'model'}",
                                       precision=settings["weights"], device=self.device)
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
        ids = list(tensors["ids"])
        if self.on_gpu:
            return [batch.pin_memory() for batch in pixels], [batch.pin_memory() for batch in ids]
        return pixels, ids

    def on_device(self, batch: torch.Tensor) -> torch.Tensor:
        """Copied in every step as open_clip_train copies what its loader has pinned."""
        return batch.to(self.device, non_blocking=True)

    def wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def peak_bytes(self) -> int | None:
        """The most memory of tensors on a GPU; None on the CPU."""
        return torch.cuda.max_memory_allocated(self.device) if self.on_gpu else None

    def reset_peak(self) -> None:
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)

    def contexts(self):
        """Autocast and the kernel of attention that the settings ask for."""
        autocast = self.bf16 and self.settings["weights"] == "fp32"
        return (
            torch.amp.autocast(self.device.type, dtype=torch.bfloat16) if autocast else nullcontext(),
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
        self.wait()
        return {"seconds": time.perf_counter() - start}


class Training(Workload):
    """open_clip_train's step: forward, contrastive loss, backward, AdamW, clamp of the scale."""

    def __init__(self, workload: dict, settings: dict):
        super().__init__(workload, settings)
        self.model.train()
        self.forward = self.compiled(self.model)
        self.loss = ClipLoss()
        self.optimizer = adamw(self.model, workload["optimizer"], settings["fusedAdamW"])

    def run_step(self, measure=None) -> torch.Tensor:
        batch = self.next_batch()
        pixels, ids = self.on_device(self.pixels[batch]), self.on_device(self.ids[batch])
        self.optimizer.zero_grad()
        autocast, attention = self.contexts()
        with attention:
            with autocast:
                # Models of SigLIP give the logits' bias as well, which this loss has no use for.
                image, text, scale, *_ = self.forward(pixels, ids)
                loss = self.loss(image, text, scale)
            loss.backward()
        if measure:
            measure()
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
        return loss.detach()

    def check(self) -> dict:
        norms = []

        def measure():
            gradients = [parameter.grad for parameter in self.model.parameters()
                         if parameter.grad is not None]
            norms.append(torch.nn.utils.get_total_norm(gradients).item())

        losses, times = [], []
        for _ in range(CHECKED_STEPS):
            start = time.perf_counter()
            losses.append(self.run_step(measure).item())
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
            batch = self.on_device(self.batch(self.next_batch()))
            return self.encode(batch, normalize=True).cpu()

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
