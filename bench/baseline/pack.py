"""Packs the images and captions of a table into webdataset's tar shards.

Usage: python pack.py PAIRS.tsv FOLDER SHARDS
"""

import csv
import io
import sys
import tarfile
from pathlib import Path


def add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    shard.addfile(entry, io.BytesIO(content))


def main() -> None:
    table, folder, shards = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for number in range(shards):
        with tarfile.open(folder / f"{number:06d}.tar", "w") as shard:
            for row in rows[number::shards]:
                image = Path(row["filepath"])
                add(shard, f"{image.stem}.jpg", image.read_bytes())
                add(shard, f"{image.stem}.txt", row["title"].encode())


if __name__ == "__main__":
    main()
