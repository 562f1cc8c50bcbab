"""Qwen Scope: one torch file per layer; k stands in the repository's name."""

import numpy as np
import pytest
import torch

from mosaic_sae.config.schema import SaeBlock
from mosaic_sae.errors import SaeError
from mosaic_sae.sae.formats.qwen_scope import read, read_metadata
from mosaic_sae.sae.load import load_sae

D_MODEL, D_SAE = 12, 2048
SMALL = "SAE-Res-Tiny-W2K-L0_20"


def random_tensors(d_sae=D_SAE, dtype=torch.float32):
    generator = torch.Generator().manual_seed(6)

    def draw(*shape, scale=0.5):
        return (torch.randn(*shape, generator=generator) * scale).to(dtype)

    return {"W_enc": draw(d_sae, D_MODEL), "W_dec": draw(D_MODEL, d_sae, scale=0.1), "b_enc": draw(d_sae), "b_dec": draw(D_MODEL)}


@pytest.fixture
def write(tmp_path):
    def save(name=SMALL, file="layer7.sae.pt", tensors=None):
        (tmp_path / name).mkdir(exist_ok=True)
        torch.save(random_tensors() if tensors is None else tensors, tmp_path / name / file)
        return tmp_path / name / file

    return save


def acts(n=100):
    return torch.randn(n, D_MODEL, generator=torch.Generator().manual_seed(1)) * 1.5 + 0.7


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_maths_by_hand(write, dtype):
    tensors = random_tensors(dtype=dtype)
    sae = read(write(tensors=tensors), "a")
    p = {name: tensor.double().numpy() for name, tensor in tensors.items()}
    pre = acts().double().numpy() @ p["W_enc"].T + p["b_enc"]
    latents = np.maximum(np.where(pre >= np.sort(pre, axis=1)[:, -20:-19], pre, 0), 0)
    assert ((latents > 0).sum(axis=1) == 20).all()
    np.testing.assert_allclose(sae.encode(acts()).to_dense(D_SAE), latents, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sae.decode(sae.encode(acts())).numpy(), latents @ p["W_dec"].T + p["b_dec"], rtol=1e-5, atol=1e-5)


def test_names_say_the_rest(write):
    metadata = read_metadata(write(), "a")
    assert (metadata.hook_name, metadata.l0, metadata.model_name) == ("blocks.7.hook_resid_post", 20, "Qwen/Tiny")
    assert metadata.prepend_bos is True
    inner = write("models--Qwen--SAE-Res-Qwen3-1.7B-Base-W2K-L0_100")
    assert (read(inner, "a").k, read_metadata(inner, "a").model_name) == (100, "Qwen/Qwen3-1.7B-Base")


def test_the_path_names_the_file_or_its_folder(write):
    file = write()
    by_file = load_sae(SaeBlock(format="qwen_scope", path=f"{file.parent}/layer{{layer}}.sae.pt"), 7, None, "resid_post")
    assert by_file.metadata.name == "layer7.sae.pt"
    by_folder = load_sae(SaeBlock(format="qwen_scope", path=str(file.parent)), 7, None, "resid_post")
    assert by_file.fingerprint == by_folder.fingerprint
    with pytest.raises(SaeError, match=r"layers: \[7\]"):
        load_sae(SaeBlock(format="qwen_scope", path=str(file)), 6, None, "resid_post")


def test_which_file_is_not_guessed(write, tmp_path):
    folder = write().parent
    write(file="layer8.sae.pt")
    with pytest.raises(SaeError, match=r"holds 2 of them: layer7\.sae\.pt, layer8\.sae\.pt\. Name the file in sae\.path"):
        load_sae(SaeBlock(format="qwen_scope", path=str(folder)), 7, None, "resid_post")
    with pytest.raises(SaeError, match=r"No SAE file .*layer9\.sae\.pt.*SAE files nearby: .*layer8\.sae\.pt"):
        load_sae(SaeBlock(format="qwen_scope", path=str(folder / "layer9.sae.pt")), 9, None, "resid_post")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SaeError, match="holds none"):
        load_sae(SaeBlock(format="qwen_scope", path=str(tmp_path / "empty")), 7, None, "resid_post")


def test_k_is_not_guessed(write):
    with pytest.raises(SaeError, match=r"does not hold k.*called as the repository, e\.g\. SAE-Res-Qwen3-1\.7B-Base-W32K-L0_50"):
        read_metadata(write("mine"), "a")


def test_files_that_are_refused(write):
    with pytest.raises(SaeError, match=r"W_enc has shape \[2048, 12\], but the name above it says 4096 latents"):
        read(write("SAE-Res-Tiny-W4K-L0_20"), "a")
    with pytest.raises(SaeError, match="'b_dec' is missing; 'k' is not an array of this format"):
        read(write(tensors={**{k: v for k, v in random_tensors().items() if k != "b_dec"}, "k": torch.tensor(3)}), "a")
    with pytest.raises(SaeError, match="must hold a state dict of tensors, got list"):
        read(write(tensors=[1, 2]), "a")
    file = write()
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(SaeError, match="Cannot read the SAE weights"):
        read(file, "a")


class _Trap:
    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_in_the_file_is_executed(write, capsys):
    with pytest.raises(SaeError, match="Cannot read the SAE weights"):
        read(write(tensors={**random_tensors(), "trap": _Trap()}), "a")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.saelens
@pytest.mark.parametrize("k", [50, 100])
def test_parity(write, load_by_saelens, assert_same_sae, k):
    file = write(f"SAE-Res-Qwen3-1.7B-Base-W32K-L0_{k}", tensors=random_tensors(32768))
    theirs = load_by_saelens(f"qwen-scope-3-1.7b-base-w32k-l{k}", "layer7", file.parent, d_in=D_MODEL)
    ours = read(file, "a")
    assert ours.k == theirs.cfg.k == k
    assert_same_sae(theirs, ours, acts(40))
    about = theirs.cfg.metadata
    assert (ours.metadata.hook_name, ours.metadata.model_name) == (about.hook_name, about.model_name)
    assert (ours.metadata.prepend_bos, ours.apply_b_dec_to_input) == (about.prepend_bos, theirs.cfg.apply_b_dec_to_input)
