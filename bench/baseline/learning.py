"""Training from image files for a time, as open_clip_train does it, and features of held-out pairs."""

import base64
import csv
import math
import time
from pathlib import Path

import open_clip
import torch
from open_clip.loss import ClipLoss
from open_clip.transform import image_transform
from PIL import Image
from safetensors.torch import load_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset

from optimizer import adamw

# Of the time, as warm-up; the cosine schedule ends with it.
WARM_UP = 0.1


class Pairs(Dataset):
    """Images of a table, with their captions' token ids."""

    def __init__(self, folder: Path, part: str, transform, ids: torch.Tensor):
        with (folder / f"{part}.tsv").open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            self.paths = [row["filepath"] for row in rows]
        self.transform, self.ids = transform, ids

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index: int):
        return self.transform(Image.open(self.paths[index])), self.ids[index]


def learn(request: dict) -> dict:
    torch.manual_seed(request["seed"])
    folder = Path(request["folder"])
    model = open_clip.create_model(f"local-dir:{folder / 'model'}")
    ids = load_file(folder / "ids.safetensors")
    size = model.visual.image_size
    train = Pairs(folder, "train", image_transform(size, is_train=True), ids["train"])
    samples = train_for(request, model, train)
    held_out = Pairs(folder, "held-out", image_transform(size, is_train=False), ids["heldOut"])
    image, text = features_of(model, DataLoader(held_out, batch_size=64))
    return {"samples": samples, "image": encoded(image), "text": encoded(text)}


def train_for(request: dict, model, pairs: Pairs) -> int:
    loader = DataLoader(pairs, batch_size=request["batch"], shuffle=True, drop_last=True,
                        num_workers=request["workers"], persistent_workers=request["workers"] > 0)
    optimizer, loss_of = adamw(model, request["optimizer"], fused=True), ClipLoss()
    peak = request["optimizer"]["lr"]
    model.train()
    samples, start = 0, None
    while True:
        for pixels, ids in loader:
            # The start of the loader's processes does not count.
            start = start or time.perf_counter()
            progress = (time.perf_counter() - start) / request["seconds"]
            if progress >= 1:
                return samples
            rate = peak * scale_at(progress)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            with sdpa_kernel(SDPBackend.MATH):
                with torch.amp.autocast("cpu", dtype=torch.bfloat16):
                    image, text, scale, *_ = model(pixels, ids)
                    loss = loss_of(image, text, scale)
                loss.backward()
            optimizer.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
            samples += len(pixels)


def scale_at(progress: float) -> float:
    """Linear warm-up, then a cosine to 0."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


@torch.inference_mode()
def features_of(model, loader: DataLoader) -> tuple[torch.Tensor, torch.Tensor]:
    model.eval()
    images, texts = [], []
    for pixels, ids in loader:
        images.append(model.encode_image(pixels, normalize=True))
        texts.append(model.encode_text(ids, normalize=True))
    return torch.cat(images), torch.cat(texts)


def encoded(features: torch.Tensor) -> str:
    return base64.b64encode(features.float().contiguous().numpy().tobytes()).decode()
