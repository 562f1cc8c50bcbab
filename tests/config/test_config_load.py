"""Reading a config: places of problems, presets, overrides, and what is kept."""

from __future__ import annotations

import copy
import logging
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaic_sae.config.lines import dump, parse
from mosaic_sae.config.load import load_experiment, load_recipe, to_yaml
from mosaic_sae.config.presets import preset_path
from mosaic_sae.errors import ConfigError

VALID = """\
settings:
  seed: 3
models:
  - name: m
    layers: [6, 12]
    sae: {path: "saes/{layer}"}
datasets:
  - name: d
    text_field: text
    label_field: label
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(tmp_path, text, name="c.yaml"):
    path = tmp_path / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return name


def message(config, overrides=None):
    with pytest.raises(ConfigError) as caught:
        load_experiment(config, overrides)
    return str(caught.value)


def test_a_valid_file(tmp_path):
    loaded = load_experiment(write(tmp_path, VALID))
    assert loaded.experiment.settings.seed == 3
    assert loaded.experiment.settings.base_save_dir.parts == ("output", "activations")  # relative to the working directory
    assert loaded.name == "c"
    assert loaded.text == VALID
    assert load_experiment(write(tmp_path, "name: mine\n" + VALID)).name == "mine"


def test_all_problems_come_at_once_in_file_order_with_their_lines(tmp_path):
    write(
        tmp_path,
        """\
        settings:
          sede: 7
          batch_size: x
          seed: 1
          seed: 2
        models:
          - name: m
            layers: [1, -1]
        datasets:
          - name: d
            text_field: text
            splits:
              - kind: holdout
        seed: 4
        """,
    )
    lines = message("c.yaml", ["settings.dtyp=float32", "settings.tree_depth=deep", "nonsense"]).split("\n")
    assert lines[0] == "10 problems in the configuration c.yaml"
    assert [line.split(": ")[:2] for line in lines[1:]] == [
        ["c.yaml:2", "settings.sede"],
        ["c.yaml:3", "settings.batch_size"],
        ["c.yaml:5", "settings.seed"],
        ["c.yaml:8", "models.0.layers.1"],
        ["c.yaml:10", "datasets.0.label_field"],
        ["c.yaml:13", "datasets.0.splits.0"],
        ["c.yaml:14", "seed"],
        ["-s nonsense", "write key.path=value, for example settings.seed=7."],
        ["-s settings.dtyp", "unknown key. Did you mean 'dtype'? Keys allowed here"],
        ["-s settings.tree_depth", "got 'deep'; allowed"],
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "c.yaml:1: the file is empty"),
        ("# only a comment\n", "c.yaml:1: the file is empty"),
        ("\n- a\n- b\n", "c.yaml:2: got a list; a config is a block of keys"),
        ("hello\n", "c.yaml:1: got a single value"),
        ("a: 1\n\tb: 2\n", "c.yaml:2: not valid YAML, column 1: a tab character"),
        ("models: [\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_config(tmp_path, text, expected):
    (tmp_path / "c.yaml").write_text(text)
    assert expected in message("c.yaml")


def test_a_value_that_cannot_be_read_is_told_once(tmp_path):
    assert message(write(tmp_path, VALID.replace("seed: 3", "seed: .nan"))).split("\n") == [
        "1 problem in the configuration c.yaml",
        "c.yaml:2: settings.seed: got .nan; no key takes an infinite or undefined number",
    ]


def test_a_file_in_another_encoding_is_told_by_line(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    assert message("c.yaml") == "c.yaml:2: byte 0xe9 is not UTF-8; save the file as UTF-8."
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbf" + VALID.encode())  # a byte order mark is no problem
    assert load_experiment("c.yaml").experiment.settings.seed == 3


def test_a_missing_file_lists_what_is_there(tmp_path):
    write(tmp_path, VALID, "conf.yaml")
    (tmp_path / "sub").mkdir()
    write(tmp_path, VALID, "sub/other.yml")
    text = message("conf.yml")
    assert "'conf.yml' is neither a file nor a preset. Did you mean 'conf.yaml'?" in text
    assert "Presets: " in text and "mosaic init" in text
    assert "Did you mean 'sub/other.yml'?" in message("sub/othr.yml")
    assert "Did you mean 'default'?" in message("defualt")
    assert "'sub' is a folder. YAML files in" in message("sub")


def test_a_preset_is_found_by_name_unless_a_file_has_that_name(tmp_path):
    assert load_experiment("default").path == preset_path("default")
    write(tmp_path, VALID, "default")
    assert load_experiment("default").experiment.models[0].name == "m"


def test_overrides_are_yaml_typed_by_the_schema_and_leave_the_rest_alone(tmp_path):
    write(tmp_path, VALID)
    texts = [
        "settings.seed=7",
        "settings.test_size = 1e-1",
        "tokens.max_length=128",
        "models.0.layers=[12]",
        "datasets.0.splits=[{kind: holdout, name: x, field: f, test_values: [no]}]",
        "settings.cuda_visible_devices=",
        "classification_params.top_n_values=[sum,20]",
    ]
    loaded = load_experiment("c.yaml", texts)
    experiment = loaded.experiment
    assert (experiment.settings.seed, experiment.settings.test_size) == (7, 0.1)
    assert experiment.tokens.max_length == 128
    assert experiment.models[0].layers == [12]
    assert experiment.models[0].name == "m"
    assert experiment.datasets[0].splits[0].test_values == ["no"]
    assert experiment.settings.cuda_visible_devices is None
    assert experiment.classification_params.top_n_values == ["sum", "count_top_n(20)"]
    assert load_experiment("c.yaml").experiment.settings.seed == 3


def test_the_kept_text_gives_the_overridden_experiment_again(tmp_path):
    write(tmp_path, "# why\n" + VALID)
    loaded = load_experiment("c.yaml", ["settings.seed=7", "models.0.revision='123e45'", "settings.cuda_visible_devices=a\nb"])
    assert loaded.text.startswith("# With values set on the command line: settings.seed=7 ")
    write(tmp_path, loaded.text, "again.yaml")
    assert load_experiment("again.yaml").experiment == loaded.experiment
    assert loaded.experiment.models[0].revision == "123e45"


def test_to_yaml_spells_out_defaults_and_gives_the_same_experiment(tmp_path):
    experiment = load_experiment("default").experiment
    write(tmp_path, to_yaml(experiment), "full.yaml")
    assert load_experiment("full.yaml").experiment == experiment
    assert parse(to_yaml(experiment)).data["settings"]["shard_rows"] == experiment.settings.shard_rows


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("settings.sede=7", "-s settings.sede: unknown key. Did you mean 'seed'?"),
        ("settings.batch_size=many", "-s settings.batch_size: got 'many'; allowed: a whole number >= 1 or auto."),
        ("models.1.layers=[1]", "-s models.1.layers: models has 1 items, numbered from 0; there is no item 1."),
        ("models.layers=[1]", "-s models.layers: models is a list: name one of its 1 items by number, beginning with 0, before 'layers'."),
        ("models.0.layers.1=x", "-s models.0.layers.1: got 'x'; allowed: a whole number >= 0."),
        ("settings.seed.x=1", "-s settings.seed.x: settings.seed holds a single value, so nothing can be set inside it ('x')."),
        ("tokens.bos.x=1", "-s tokens.bos: got a block; allowed: exclude or include."),
        ("settings.dtype=[", "-s settings.dtype: the value cannot be read: not valid YAML"),
        ("settings.seed", "-s settings.seed: write key.path=value"),
        ("=3", "-s =3: write key.path=value"),
        ("seed=7", "-s seed: unknown key here; 'seed' belongs in settings. Move it there."),
        ("datasets.0={name: d}", "-s datasets.0.label_field: missing;"),
    ],
)
def test_problems_of_overrides_name_the_override(tmp_path, override, expected):
    assert expected in message(write(tmp_path, VALID), [override]).replace("\n", "\n ")


def test_integer_poolings_are_explained_once_in_the_log(tmp_path, caplog):
    write(tmp_path, VALID + "classification_params: {top_n_values: [0, 20, max, 0], extra_top_n: -1}\n")
    with caplog.at_level(logging.INFO, logger="mosaic_sae"):
        load_experiment("c.yaml")
        assert [record.getMessage() for record in caplog.records] == ["poolings: 0 = sum, 20 = count_top_n(20), -1 = last"]
        caplog.clear()
        load_experiment("c.yaml", ["classification_params.top_n_values=[sum]", "classification_params.extra_top_n="])
        assert caplog.records == []


def test_recipes_are_read_in_the_same_way(tmp_path):
    write(tmp_path, "name: a\nmodel: m\nlayr: 3\ntexts: t.parquet\nd_sae: 1\nk: 8\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe("c.yaml", ["k=many"])
    assert [line.split("; ")[0].split(". ")[0] for line in str(caught.value).split("\n")] == [
        "3 problems in the configuration c.yaml",
        "c.yaml:3: layr: unknown key",
        "c.yaml:5: d_sae: got 1",
        "-s k: got 'many'",
    ]
    write(tmp_path, "name: a\nmodel: m\nlayer: 3\ntexts: t.parquet\nd_sae: 16\nk: 8\n")
    recipe = load_recipe("c.yaml", ["learning_rate=1e-4"])
    assert (recipe.layer, recipe.d_sae, recipe.learning_rate) == (3, 16, 0.0001)
    with pytest.raises(ConfigError, match=r"'d.yaml' is not a file. Did you mean 'c.yaml'\?"):
        load_recipe("d.yaml")


_JUNK = st.sampled_from([
    None,
    True,
    -1,
    0,
    3,
    0.5,
    2.0,
    "x",
    "5",
    "yes",
    "auto",
    [],
    ["x"],
    [1],
    [[]],
    {},
    {"kind": "x"},
    {"name": "x"},
    [None],
    [{}],
])
_KEYS = st.sampled_from(["seed", "name", "kind", "layerz", "settings", "path", "text_field", "é", "", "splits"])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_config_however_broken_gives_anything_but_plain_sentences(tmp_path, data):
    tree = parse(preset_path("default").read_text()).data
    for _ in range(data.draw(st.integers(1, 4))):
        here = tree
        while True:
            places = list(here) if isinstance(here, dict) else list(range(len(here)))
            place = data.draw(
                _KEYS if isinstance(here, dict) and (not places or data.draw(st.booleans())) else st.sampled_from(places or [None])
            )
            if place is None:
                break
            inside = here.get(place) if isinstance(here, dict) else here[place]
            if isinstance(inside, dict | list) and inside and data.draw(st.booleans()):
                here = inside
                continue
            if isinstance(here, dict) and place in here and data.draw(st.booleans()):
                del here[place]
            else:
                here[place] = copy.deepcopy(data.draw(_JUNK))
            break
    (tmp_path / "c.yaml").write_text(dump(tree), encoding="utf-8")
    try:
        load_experiment("c.yaml")
    except ConfigError as error:
        head, *lines = str(error).split("\n")
        assert len(lines) == len(set(lines)) > 0
        assert "problem" in head
        for line in lines:
            assert line.startswith("c.yaml:")
            assert not any(
                raw in line for raw in ("[type=", "Input should", "pydantic", "Value error", "Extra inputs", "function-", "constrained")
            )
