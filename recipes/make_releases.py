"""Write the table of public SAE releases, src/mosaic_sae/sae/releases.json, from the registry of the installed sae-lens.

The registry (MIT licence, see src/mosaic_sae/sae/releases.LICENSE) knows about 14,000 SAEs; the table keeps those that a model
entry may mean by layer, site and width alone. With ``--check`` nothing is written, and the exit code is 1 when the table is stale.

    pip install "mosaic-sae[saelens]"
    python recipes/make_releases.py
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sae_lens.loading.pretrained_saes_directory import PretrainedSAELookup, get_pretrained_saes_directory

TABLE = Path(__file__).parents[1] / "src" / "mosaic_sae" / "sae" / "releases.json"
_SITES = {"res": "resid_post", "mlp": "mlp_out", "att": "attn_out", "r": "resid_post", "m": "mlp_out", "a": "attn_out"}
_FORMATS = {None: "saelens", "gemma_2": "gemma_scope", "gemma_3": "gemma_scope_2", "llama_scope": "llama_scope", "qwen_scope": "qwen_scope"}
# Releases whose rows carry a plain layer, site and width: name -> how an id or a path says them.
_KINDS = (
    (r"gemma-2b(-it)?-(?P<site>res)-jb", r"blocks\.(?P<layer>\d+)\.hook_resid_post$"),
    # "canonical" is the one SAE of a layer and width that the registry recommends among several sparsities.
    (r"gemma-scope-\w+-(pt|it)-(?P<site>res|mlp|att)-canonical", r"layer_(?P<layer>\d+)/width_(?P<width>\w+)/average_l0_\d+$"),
    # A few layers in every width and three sparsities; every layer in two widths and two sparsities.
    (
        r"gemma-scope-2-\w+-(pt|it)-(?P<site>res|mlp|att)(-all)?",
        r"layer_(?P<layer>\d+)_width_(?P<width>[0-9a-z]+_l0_(?:small|medium|big))$",
    ),
    (r"llama_scope_lx(?P<site>[rma])_(8|32)x", r"-L(?P<layer>\d+)[RMA]-(?P<width>8|32)x$"),
    (r"qwen-scope-.+", r"^layer(?P<layer>\d+)\.sae\.pt$"),
)
_WIDTHS = {"8": "32k", "32": "131k"}


def main() -> int:
    """Write the table, or say whether it is current."""
    made = table()
    if "--check" not in sys.argv:
        TABLE.write_text(made, encoding="utf-8")
        print(f"{TABLE.name}: {made.count(chr(10))} lines, {len(made):,} bytes")
        return 0
    is_current = TABLE.read_text(encoding="utf-8") == made
    print(f"{TABLE.name} is {'current' if is_current else 'stale; run: python recipes/make_releases.py'}")
    return 0 if is_current else 1


def table() -> str:
    """Return the table as JSON, one line per release and width."""
    rows = _without_doubles([row for lookup in get_pretrained_saes_directory().values() for row in _rows(lookup)])
    rows.sort(key=lambda row: (row["models"], row["site"], row["width"], row["name"]))
    head = {"source": f"sae-lens {version('sae-lens')}, pretrained_saes.yaml", "licence": "MIT, see releases.LICENSE"}
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    return json.dumps(head)[:-1] + f', "releases": [\n{lines}\n]}}\n'


def _without_doubles(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop rows of a few layers whose width and sparsity a row "-all" has at every layer, so that one series holds for all layers."""
    complete = {(row["name"].removesuffix("-all"), row["width"]) for row in rows if row["name"].endswith("-all")}
    return [row for row in rows if (row["name"], row["width"]) not in complete]


def _rows(lookup: PretrainedSAELookup) -> list[dict[str, Any]]:
    for release, place in _KINDS:
        named = re.fullmatch(release, lookup.release)
        if named:
            return list(_by_width(lookup, named.groupdict(), place).values())
    return []


def _by_width(lookup: PretrainedSAELookup, named: dict[str, str], place: str) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for sae_id, path in lookup.saes_map.items():
        found = re.search(place, path) or re.search(place, sae_id)
        if not found:
            continue
        layer, width = found["layer"], _width(found.groupdict().get("width"), lookup)
        row = rows.setdefault(
            width,
            {
                "name": lookup.release,
                "models": _models(lookup.model),
                "site": _SITES[named.get("site", "res")],
                "width": width,
                "repo": lookup.repo_id,
                "format": _FORMATS[lookup.conversion_func],
                "saes": {},
            },
        )
        l0 = re.search(r"average_l0_(\d+)", path)
        row["saes"][layer] = {"path": path, "l0": float(l0[1]) if l0 else lookup.expected_l0[sae_id]}
        if row["format"] == "saelens" and sae_id in lookup.norm_scaling_factor:  # Llama Scope's own files hold the factor
            row["saes"][layer]["norm_scaling_factor"] = lookup.norm_scaling_factor[sae_id]
    return {width: _fold_paths(row) for width, row in rows.items()}


def _fold_paths(row: dict[str, Any]) -> dict[str, Any]:
    """Say the path once when it differs between layers in the layer and the L0 only."""
    folded = {
        re.sub(r"average_l0_\d+", "average_l0_{l0}", re.sub(rf"((?:layer_?|-L)){layer}(?!\d)", r"\1{layer}", sae["path"]))
        for layer, sae in row["saes"].items()
    }
    saes = dict(sorted(row.pop("saes").items(), key=lambda item: int(item[0])))
    l0 = {layer: int(sae["l0"]) if float(sae["l0"]).is_integer() else sae["l0"] for layer, sae in saes.items()}
    factors = {layer: sae["norm_scaling_factor"] for layer, sae in saes.items() if "norm_scaling_factor" in sae}
    paths: dict[str, Any] = {"path": folded.pop()} if len(folded) == 1 else {"paths": {layer: sae["path"] for layer, sae in saes.items()}}
    return {**row, **paths, "l0": l0, **({"norm_scaling_factor": factors} if factors else {})}


def _width(found: str | None, lookup: PretrainedSAELookup) -> str:
    if lookup.release.startswith("qwen-scope"):
        repo = re.search(r"-W(\d+)K-L0_(\d+)$", lookup.repo_id)
        if not repo:
            raise ValueError(f"{lookup.repo_id} does not say its width")
        return f"{repo[1]}k_l0_{repo[2]}"
    if found is None:
        return "16k"
    # The sparsity that Neuronpedia shows under the plain width; it exists at a few layers only.
    return _WIDTHS.get(found, found.removesuffix("_l0_medium"))


def _models(model: str) -> list[str]:
    if "/" in model:
        return [model]
    return [f"google/{model}", model]


if __name__ == "__main__":
    raise SystemExit(main())
