"""Exports a model directory's towers to ONNX, in float32 and with int8 weights.

Usage: python export_onnx.py MODEL FOLDER TOKENS

Writes image-fp32.onnx, text-fp32.onnx, image-int8.onnx and text-int8.onnx, whose outputs have length 1, and
tokens.json with the length of texts, which PyTorch's exporter makes a constant of the graph.
The int8 graphs are those of ONNX Runtime's dynamic quantization of matrix products, as transformers.js
has them under the name q8.
"""

import json
import sys
from pathlib import Path

import open_clip
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

OPSET = 17


class ImageTower(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return self.model.encode_image(pixels, normalize=True)


class TextTower(torch.nn.Module):
    """encode_text for texts that are shorter than the context: OpenCLIP's own takes the whole context."""

    def __init__(self, model: open_clip.CLIP):
        super().__init__()
        self.model = model

    def forward(self, ids):
        model, length = self.model, ids.shape[1]
        x = model.token_embedding(ids) + model.positional_embedding[:length]
        x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
        ends = ids.argmax(dim=-1, keepdim=True).unsqueeze(-1)
        x = model.ln_final(x).gather(1, ends.expand(-1, 1, x.shape[-1])).squeeze(1)
        projection = model.text_projection
        projected = projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection
        return torch.nn.functional.normalize(projected, dim=-1)


def export(tower: torch.nn.Module, example: torch.Tensor, folder: Path, name: str, axes: dict) -> None:
    path = folder / f"{name}-fp32.onnx"
    torch.onnx.export(
        tower.eval(), (example,), str(path), dynamo=False, opset_version=OPSET,
        input_names=["input"], output_names=["features"],
        dynamic_axes={"input": axes, "features": {0: "batch"}},
    )
    quantize_dynamic(
        str(path), str(folder / f"{name}-int8.onnx"),
        op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8,
    )


def main() -> None:
    directory, folder, tokens = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    model = open_clip.create_model(f"local-dir:{directory}").eval()
    if not isinstance(model, open_clip.CLIP):
        raise SystemExit("Only models whose text tower is CLIP's own are exported.")
    size = model.visual.image_size
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    # PyTorch's fused attention of inference has no ONNX operator.
    torch.backends.mha.set_fastpath_enabled(False)
    # Two of each, so that the batch is not taken for a constant.
    pixels = torch.zeros(2, 3, height, width)
    ids = torch.ones(2, tokens, dtype=torch.int64)
    (folder / "tokens.json").write_text(json.dumps(tokens))
    with torch.no_grad():
        export(ImageTower(model), pixels, folder, "image", {0: "batch"})
        export(TextTower(model), ids, folder, "text", {0: "batch"})


if __name__ == "__main__":
    main()
