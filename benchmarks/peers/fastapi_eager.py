"""The endpoint that one writes first: FastAPI, Pillow, eager PyTorch, one image per request, no batches and no limits.

    python fastapi_eager.py BUNDLE PORT

Same weights, same pixels (Clearsight's bundle is read for both), its thread pool and PyTorch's threads as they come.
"""

from __future__ import annotations

import io
import sys

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from clearsight.bundle import Bundle
from clearsight.runs.load import load_predictor


def application(bundle: Bundle) -> FastAPI:
    network, geometry = bundle.network.eval(), bundle.geometry
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/predict")
    def predict(image: UploadFile) -> dict[str, float]:
        mode = "RGB" if bundle.form.channels == 3 else "L"
        picture = Image.open(io.BytesIO(image.file.read())).convert(mode)
        picture = picture.resize((geometry.width, geometry.height), Image.Resampling.BICUBIC)
        pixels = np.asarray(picture, np.float32).reshape(geometry.height, geometry.width, -1) / 255
        x = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))
        with torch.inference_mode():
            probabilities = torch.softmax(network(x) / bundle.temperature, 1)[0]
        return dict(zip(bundle.classes, probabilities.tolist(), strict=True))

    return app


if __name__ == "__main__":
    uvicorn.run(application(load_predictor(sys.argv[1]).bundle), port=int(sys.argv[2]), log_level="warning")
