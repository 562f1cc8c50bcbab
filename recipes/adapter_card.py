"""The model card and notices of the adapter folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapter_pictures import PNG_PACKAGES, SVG_PACKAGES

from mosaic_sae.fsio import read_json, write_json, write_text

GEMMA = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"


def write_card(folder: Path, found: dict[str, Any]) -> None:
    """Write README.md, NOTICE and figures.json of an adapter folder from the evaluation ``found`` and the folder's own facts."""
    write_json(folder / "figures.json", found)
    contract = read_json(folder / "adapter.json")
    size = (folder / "adapter.safetensors").stat().st_size
    lines = [f"| {name} | {_cell(score)} |" for name, score in found["scores"].items()]
    sae, n_drawings = found["sae"], len(PNG_PACKAGES + SVG_PACKAGES)
    card = f"""# gemma-3-270m-emoji

A vision tower (LeViT, 64 pixels) and a projector that turn a picture into {contract["n_image_tokens"]} image tokens
of {contract["language_model"]}. Loaded as `packaged/gemma-3-270m-emoji` it is a `LlavaForConditionalGeneration`. It exists so that
transfer from text to pictures can be run anywhere, without a download; it knows emoji and nothing else. It was trained to put pictures
where names are after block 9, not to write: it is no captioner.

| fact | value |
|---|---|
| weights | float16, {size / 1e6:.1f} MB; the language model is unchanged |
| image token | `{contract["image_token"]}` (id {contract["image_token_id"]}), {contract["image_token_is"]} |
| steps | {contract["steps"][0]} without the language model, {contract["steps"][1]} through its first ten blocks |
| time of the training, without downloads and the reading of names | {contract["seconds"] / 60:.0f} minutes on one thread{_busy(contract)} |
| explained variance of packaged/gemma-3-270m-l9, name tokens and image tokens | {1 - sae["fvu_names"]:.3f}, {1 - sae["fvu_pictures"]:.3f} |
| L0, name tokens and image tokens | {sae["l0_names"]:.1f}, {sae["l0_pictures"]:.1f} |
| median norm, name tokens and image tokens | {sae["norm_names"]:.0f}, {sae["norm_pictures"]:.0f} |

## What it gives

Macro F1 over eight Unicode groups, {found["n_test"]} held-out emoji, with 95 % bootstrap intervals. Classifiers are trained on the
names, or on the pictures (Google's), of {found["n_train"]} train emoji, and tested on the names or pictures of emoji that neither the
adapter nor a classifier has learnt from. All are logistic regressions with one penalty, fixed in advance.

| features: trained on, tested on | macro F1 |
|---|---|
{chr(10).join(lines)}

The image-trained classifiers do not beat pixels: the tower is small and has seen few pictures. What the adapter adds is the second row of
each block, a classifier that has never seen a picture. The contrast was chosen on validation ids, without labels; the number of
steps follows from the time there was, and more would help stage 1.

## What it was trained on

Pictures of the train ids of `packaged/emoji_names`, a tenth of their families left out for validation, in {n_drawings} drawings
(NOTICE), shifted, scaled, turned, mirrored where harmless and recoloured at random. Targets are the names' token embeddings and their
states after block 9; group labels are not used.
`python recipes/make_emoji_adapter.py WORK` makes it again, up to floating-point differences between machines.

## Licence

{contract["licence"]}.
{GEMMA}.
"""
    write_text(folder / "README.md", card)
    owners = "\n".join(f"- {one.package} {one.version}: {one.owner}, {one.licence}" for one in PNG_PACKAGES + SVG_PACKAGES)
    notice = f"""{GEMMA}

The weights were trained on emoji drawings, none of which are contained here. They were rendered at 64 pixels and changed at random
during training. CC-BY-4.0 drawings are used under creativecommons.org/licenses/by/4.0.

{owners}
"""
    write_text(folder / "NOTICE", notice)


def _cell(score: dict[str, float]) -> str:
    return f"{score['macro_f1']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def _busy(contract: dict[str, Any]) -> str:
    share = contract["cpu_seconds"] / max(contract["seconds"], 1)
    return f", of which it got {share:.0%} of one core ({contract['cpu_seconds'] / 60:.0f} CPU minutes)"
