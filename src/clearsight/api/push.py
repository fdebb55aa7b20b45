"""Push a model to the Hugging Face Hub."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearsight.arguments import known_arguments
from clearsight.console import Console, usual_console
from clearsight.disk import disk_errors
from clearsight.environment import require_online
from clearsight.errors import BundleError, OutputError
from clearsight.hub.files import write_files
from clearsight.hub.model_card import Statements, data_licence
from clearsight.hub.names import target_name
from clearsight.result import Result
from clearsight.runs.folder import run_options
from clearsight.runs.load import ModelSource, folder_of, predictor_of


@dataclass(frozen=True, repr=False)
class Pushed(Result):
    """A model on the Hub. name: its repository. revision: the commit that contains it; None where nothing was uploaded.
    url: of the page; None where nothing was uploaded. card: the content of README.md. missing: statements that the
    author left open.
    """

    name: str
    revision: str | None
    url: str | None
    card: str
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"name": self.name, "revision": self.revision, "url": self.url, "missing": list(self.missing)}

    def text(self) -> str:
        """Where the model is, how it is loaded, and what the card leaves open."""
        lines = [f"pushed to {self.url}", f'load with cs.load("{self.name}", revision="{self.revision}")']
        if self.url is None:
            lines = [f"the files of {self.name} are written; nothing is uploaded"]
        if self.missing:
            lines.append(f"the model card does not state: {', '.join(self.missing)}")
        return "\n".join(lines)


@known_arguments
def push(
    model: ModelSource,
    name: str,
    *,
    license: str | None = None,
    data_license: str | None = None,
    weights_license: str | None = None,
    intended_use: str | None = None,
    private: bool = False,
    out: str | Path | None = None,
    token: str | None = None,
    console: Console | None = None,
) -> Pushed:
    """Push a model to the Hugging Face Hub, with a model card: `cs.push("runs/cells", "me/cells")`.

    The repository contains the weights, the configuration, the card and the digests of the training images; neither
    images nor names or paths of files. It is created if it does not exist. Each push is a commit.

    Args:
        model: a run, a model, or the folder of either.
        name: `user/name`.
        license: licence of the model, as the Hub names it, such as "apache-2.0".
        data_license: licence of the training data; that of a built-in data set is known.
        weights_license: licence of the pretrained weights; that of published weights is known.
        intended_use: what the model is for, in sentences.
        private: create the repository so that only its owner can see it.
        out: write the files to this folder, and upload nothing.
        token: of the Hub; by default that of `hf auth login` or HF_TOKEN.
        console: where progress is shown.

    Returns:
        Where the model is.

    Raises:
        ConfigError: the name is no name on the Hub, or offline mode is on.
        BundleError: the model lies in no folder.
        OutputError: the Hub refuses, or cannot be reached, or `out` is in use.

    Example:
        >>> pushed = cs.push("runs/digits", "me/digits", license="apache-2.0", out="digits-files")
        >>> cs.load("digits-files").predict("new.png")[0].label
        '0'
    """
    console, repository = console or usual_console(), target_name(name)
    source = folder_of(model)
    if source is None:
        predictor_of(model)  # what does not exist is an error of its own
        raise BundleError("the model lies in no folder", fix="save the run first: `run.save(folder)`")
    stated = Statements(license, data_license, weights_license, intended_use)
    if out is None:
        require_online("push", "unset CLEARSIGHT_OFFLINE, or write the files to a folder with `out`")
    revision, url = None, None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with disk_errors(folder, "the files", "free some space"):
            bundle = write_files(source, folder, repository, stated, run_options(source))
        card = (folder / "README.md").read_text(encoding="utf-8")
        if out is None:
            revision, url = _upload(folder, repository, private, token, console)
        else:
            _copy(folder, Path(out).expanduser())
    open_ones = {
        "the licence of the model": license,
        "the licence of the data": data_licence(bundle, stated),
        "the intended use": intended_use,
    }
    return Pushed(repository, revision, url, card, tuple(words for words, value in open_ones.items() if value is None))


def _copy(folder: Path, out: Path) -> None:
    """Copy the files to a new or empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} already exists", found="a file or a non-empty folder", fix="choose another --out")
    with disk_errors(out, "the files", "free some space or choose another --out"):
        out.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            shutil.copyfile(file, out / file.name)


def _upload(folder: Path, repository: str, private: bool, token: str | None, console: Console) -> tuple[str, str]:
    """The commit of the uploaded files, and the URL of their page."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    api = HfApi(endpoint=constants.ENDPOINT, token=token, library_name="clearsight")
    console.say(f"push: uploading to {api.endpoint}/{repository}")
    disable_progress_bars()
    try:
        api.create_repo(repository, private=private or None, exist_ok=True)  # None: as the account prefers
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message="Upload a model with Clearsight",
            delete_patterns=["*.safetensors", "split.csv"],  # of an earlier push of another model
        )
    except Exception as error:  # the hub's client raises errors of several libraries
        reason = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise OutputError(
            f"{repository} cannot be pushed to {api.endpoint}", found=reason,
            fix="log in with `hf auth login`, or set HF_TOKEN to a token that may write to this name", page="hub",
        ) from error  # fmt: skip
    return str(commit.oid), f"{api.endpoint}/{repository}"
