"""OpenCLIP's own training data loaders, from files to batches of normalised pixels and ids."""

import time
from argparse import Namespace
from pathlib import Path

import open_clip
import torch
from open_clip.transform import image_transform
from open_clip_train.data import get_csv_dataset, get_wds_dataset


def open_loader(workload: dict, settings: dict):
    return Loading(workload)


class Loading:
    """A step is an epoch; OpenCLIP starts the workers of a table's loader anew for each."""

    def __init__(self, workload: dict):
        data = Path(workload["data"])
        shards = "{000000..%06d}.tar" % (workload["shards"] - 1)
        options = Namespace(
            train_data=str(data if workload["format"] == "csv" else data / shards),
            csv_img_key="filepath", csv_caption_key="title", csv_separator="\t",
            dataset_resampled=False, train_data_upsampling_factors=None,
            train_num_samples=workload["count"], seed=0,
            batch_size=workload["batch"], workers=workload["workers"],
            distributed=False, world_size=1,
        )
        transform = image_transform(workload["size"], is_train=True)
        tokenizer = open_clip.get_tokenizer("ViT-B-32")
        get = get_csv_dataset if workload["format"] == "csv" else get_wds_dataset
        self.data = get(options, transform, is_train=True, tokenizer=tokenizer)
        self.batches = workload["count"] // workload["batch"]
        self.epoch = 0

    def run_epoch(self) -> torch.Tensor:
        """Means of the channels over the epoch's pixels, each image counted once."""
        self.data.set_epoch(self.epoch)
        self.epoch += 1
        means = [pixels.mean(dim=(0, 2, 3)) for pixels, _ in self.data.dataloader]
        if len(means) != self.batches:
            raise RuntimeError(f"An epoch has {len(means)} batches instead of {self.batches}.")
        return torch.stack(means).mean(dim=0)

    def check(self) -> dict:
        start = time.perf_counter()
        means = self.run_epoch().tolist()
        return {"channelMeans": means, "seconds": time.perf_counter() - start}

    def run(self, steps: int) -> dict:
        start = time.perf_counter()
        for _ in range(steps):
            self.run_epoch()
        return {"seconds": time.perf_counter() - start}
