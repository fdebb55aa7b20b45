"""The model of a run as an MLflow pyfunc: a table with the content of image files in, a table of predictions out.

MLflow runs this file when the model is loaded; nothing of it is pickled.
"""

from __future__ import annotations

from typing import Any

import mlflow
import pandas as pd


class ClearsightModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A model of Clearsight."""

    model: Any

    def load_context(self, context: Any) -> None:
        """Load the model from the artefact `bundle`."""
        import clearsight as cs

        self.model = cs.load(context.artifacts["bundle"])  # type: ignore[operator] # names of the package are lazy

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Predict the images of the column `image`: the content of image files, as bytes."""
        found: pd.DataFrame = self.model.predict(list(model_input["image"])).to_frame()
        return found


mlflow.models.set_model(ClearsightModel())
