"""The adapter that ships, and the recipe that makes it: wiring, targets, losses, and that no test picture is opened."""

import importlib
import io
import json
import math
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import Gemma3TextConfig, LlavaConfig, LlavaForConditionalGeneration

from mosaic_sae.fsio import read_json, sha256_file
from mosaic_sae.models.packaged_vision import ADAPTERS
from mosaic_sae.sources import packaged

FOLDER = ADAPTERS / "gemma-3-270m-emoji"
RECIPES = Path(__file__).parents[2] / "recipes"
MODULES = ("adapter_pictures", "adapter_model", "adapter_states", "adapter_training")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    made = {name: importlib.import_module(name) for name in MODULES}
    yield lambda module: made[module]
    for name in (*MODULES, "make_data", "data_upstream"):
        sys.modules.pop(name, None)


def test_the_folder_is_whole_small_and_of_one_language_model() -> None:
    contract = read_json(FOLDER / "adapter.json")
    assert set(contract["sha256"]) == {"config.json", "adapter.safetensors", "preprocessor_config.json", "processor_config.json"}
    assert all(sha256_file(FOLDER / name) == found for name, found in contract["sha256"].items())
    assert (FOLDER / "adapter.safetensors").stat().st_size < 16_000_000
    weights = load_file(FOLDER / "adapter.safetensors")
    assert all(name.startswith(("model.vision_tower.", "model.multi_modal_projector.")) for name in weights)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())
    config = read_json(FOLDER / "config.json")
    assert (config["text_config"]["hidden_size"], config["image_token_index"]) == (640, contract["image_token_id"])
    assert (config["image_seq_length"], contract["n_image_tokens"]) == (4, 4)


def test_transformers_reads_the_weights_as_the_recipe_does(recipe) -> None:
    """LLaVA's own image features equal those of the module that was trained."""
    model_recipe = recipe("adapter_model")
    weights = {name: tensor.float() for name, tensor in load_file(FOLDER / "adapter.safetensors").items()}
    adapter = model_recipe.Adapter()
    adapter.load_state_dict({name.removeprefix("model."): tensor for name, tensor in weights.items()})
    config = LlavaConfig.from_pretrained(FOLDER)
    config.text_config = Gemma3TextConfig(
        vocab_size=32, hidden_size=640, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1, head_dim=8
    )
    llava = LlavaForConditionalGeneration(config)
    _, unexpected = llava.load_state_dict(weights, strict=False)
    assert not unexpected
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = torch.stack(list(llava.eval().model.get_image_features(pixels).pooler_output))
        ours = adapter.eval()(pixels)
    assert ours.shape == (2, 4, 640)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert (ours[0] - ours[1]).abs().max() > 1e-3  # it looks at the picture


def test_pixels_are_prepared_as_the_processor_is_told(recipe) -> None:
    told = read_json(FOLDER / "preprocessor_config.json")
    pixels = np.array([0, 128, 255], dtype=np.uint8).reshape(1, 1, 1, 3)
    expected = [(value * told["rescale_factor"] - told["image_mean"][0]) / told["image_std"][0] for value in (0, 128, 255)]
    assert recipe("adapter_training").normalised(pixels)[0, :, 0, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_parts_keep_families_and_the_test_split(recipe) -> None:
    table = recipe("adapter_pictures").read_names(packaged.FOLDER / "emoji_names.parquet")
    assert set(table["part"]) == {"fit", "validation", "test"}
    assert table.groupby("family")["part"].nunique().max() == 1
    assert ((table["part"] == "test") == (table["split"] == "test")).all()
    pictured = packaged.read_packaged("emoji_pictures")
    tested = {one for one, split in zip(pictured.load("emoji"), pictured.load("split"), strict=True) if split == "test"}
    learnt = {one.replace("\ufe0f", "") for one in table.loc[table["part"] != "test", "emoji"]}
    assert tested and not learnt & {one.replace("\ufe0f", "") for one in tested}


def test_only_the_pictures_that_are_asked_for_are_read(recipe, tmp_path: Path) -> None:
    """Of two drawings one is asked for; SVG sets find theirs by their own table or by another set's name."""
    pytest.importorskip("resvg_py")
    pictures = recipe("adapter_pictures")
    png = io.BytesIO()
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(png, "PNG")  # all transparent: white
    for package in pictures.PNG_PACKAGES:
        inside = f"package/img/{package.vendor}/64"
        pack(tmp_path / package.file, {f"{inside}/1f600.png": png.getvalue(), f"{inside}/2764-fe0f.png": png.getvalue()})
    square = '<path fill="#00f" d="M0 0h8v16H0z"/>'
    icons = json.dumps({"icons": {"grin": {"body": square}, "heart": {"body": square}}, "width": 16, "height": 16}).encode()
    for number, package in enumerate((*pictures.NAME_TABLES, *pictures.SVG_PACKAGES)):
        characters = {"1f600": "grin", "2764-fe0f": "heart"} if number == 0 else {}
        pack(tmp_path / package.file, {"package/icons.json": icons, "package/chars.json": json.dumps(characters).encode()})
    found = pictures.read_pictures(tmp_path, {"2764"})
    assert set(found["code"]) == {"2764"}
    assert sorted(found["vendor"]) == sorted(one.vendor for one in pictures.PNG_PACKAGES + pictures.SVG_PACKAGES)
    by_vendor = dict(zip(found["vendor"], found["pixels"], strict=True))
    assert (by_vendor["google"] == 255).all()
    assert by_vendor["fxemoji"][32, 8].tolist() == [0, 0, 255] and by_vendor["fxemoji"][32, 56].tolist() == [255, 255, 255]


def pack(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_augmentation_moves_and_mirrors_but_leaves_white_ground(recipe) -> None:
    training = recipe("adapter_training")
    pixels = np.full((64, 64, 64, 3), 255, dtype=np.uint8)
    pixels[:, 16:48, 16:28] = 0  # a bar left of the middle
    both = training.augmented(pixels, np.zeros(64, dtype=bool), torch.Generator().manual_seed(0))
    one_way = training.augmented(pixels, np.ones(64, dtype=bool), torch.Generator().manual_seed(0))
    across = torch.linspace(-1, 1, 64)

    def side(batch: torch.Tensor) -> torch.Tensor:
        dark = (batch.mean((1, 2)).amax(1, keepdim=True) - batch.mean((1, 2))).clamp_min(0)
        return (dark * across).sum(1) / dark.sum(1)

    assert both.shape == (64, 3, 64, 64)
    assert 16 < (side(both) > 0.15).sum() < 48  # about half are mirrored
    assert (side(one_way) > 0.15).sum() < 8
    lightest = one_way.mean(1).flatten(1).amax(1) * training.STD + training.MEAN
    assert lightest.min() > 0.6 and lightest.max() <= 1


def test_likeness_loss_is_a_cross_entropy_against_like_names(recipe) -> None:
    training, states = recipe("adapter_training"), recipe("adapter_states")
    space = states.NameSpace(torch.zeros(2), torch.eye(2), torch.ones(2))
    names = training.Names(torch.zeros(2, 2), torch.tensor([[3.0, 0.0], [0.0, 5.0]]), space, torch.tensor(1.0))
    wanted = math.exp(1 / training.TARGET_TEMPERATURE)
    wanted /= wanted + 1
    sharp = 1 / training.TEMPERATURE
    for place, likeness in (([1.0, 0.0], (sharp, 0.0)), ([0.6, 0.8], (0.6 * sharp, 0.8 * sharp))):
        total = math.log(math.exp(likeness[0]) + math.exp(likeness[1]))
        by_hand = -wanted * (likeness[0] - total) - (1 - wanted) * (likeness[1] - total)
        found = training.likeness_loss(torch.tensor([place]), names, torch.tensor([0]))
        assert found.item() == pytest.approx(by_hand, rel=1e-4)


def test_a_space_of_names_measures_along_their_principal_directions(recipe) -> None:
    states = recipe("adapter_states")
    means = torch.tensor([[4.0, 1.0], [-4.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
    space = states.NameSpace.fit(means)
    assert torch.equal(space.centre, torch.tensor([0.0, 1.0]))
    # Spreads are sqrt(8) and sqrt(1/2); each direction is divided by sqrt(its own x the largest).
    along = (space.directions.abs() * torch.tensor([math.sqrt(8.0), math.sqrt(math.sqrt(8.0) * math.sqrt(0.5))])).round(decimals=4)
    assert along.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert space.place(means[:1]).norm().item() == pytest.approx(1.0)


def test_a_stopped_stage_goes_on_to_the_same_weights(recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = recipe("adapter_training")

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = torch.nn.Linear(3, 1)

    pictures = training.Pictures(
        np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), dtype=np.uint8), np.arange(8), np.zeros(8, dtype=bool)
    )
    asked: list[int] = []

    def loss(learner: Small, pixels: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        asked.append(int(shown[0]))
        if len(asked) == stop_at:
            raise KeyboardInterrupt
        return (learner.line(pixels.mean((2, 3))).flatten() - shown).square().mean()

    def run(folder: str) -> Small:
        torch.manual_seed(0)
        path = tmp_path / folder
        return training.run_stage(training.Stage("s", 6, 4, 0.1, 7), Small(), pictures, loss, lambda learner: (0.0, "-"), 100, path)

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    stop_at = -1
    whole = run("whole")
    stop_at = len(asked) + 4
    with pytest.raises(KeyboardInterrupt):
        run("stopped")
    stop_at = -1
    resumed = run("stopped")
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert isinstance(pictures.pixels, np.ndarray) and pd.Series(asked).between(0, 7).all()
