"""``params.yaml``: YAML 1.2, and every mistake is one sentence with file, line, key and value."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from benchmark.config import Params, Protocol, Section
from benchmark.configuration import documents
from benchmark.configuration.allowed import allowed
from benchmark.configuration.documents import parse
from benchmark.configuration.mistakes import validated
from benchmark.configuration.names import check_names
from benchmark.errors import ConfigError
from benchmark.registry import ROOT
from benchmark.studies import StudyParams, Workspace

WHOLE = (ROOT / "params.yaml").read_text(encoding="utf-8")
STUDIES = sorted((ROOT / "studies").glob("*/params.yaml"))


def told(*settings: str, text: str = WHOLE, folder: Path) -> str:
    """Return the first sentence about a file with settings on top."""
    file = folder / "params.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        StudyParams.read(file, settings=settings)
    sentence = error.value.sentences[0]
    assert "\n" not in sentence
    assert "http" not in sentence
    return sentence.replace(str(folder) + "/", "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "params.yaml: holds no keys"),
        ("- naive", "params.yaml: holds no keys"),
        ("naive", "params.yaml: holds no keys"),
        ("seeds: [1, 2\nmethods: x", "params.yaml:2: is no YAML at column 8: while parsing a flow"),
        ("a: b: c", "params.yaml:1: is no YAML at column 5: mapping values are not allowed here"),
        ("a: 1\nb: 2\na: 3", "params.yaml:3: key 'a' stands twice, first in line 1"),
        ("a: {b: 1, b: 2}", "params.yaml:1: key 'b' stands twice"),
        ("a: *b", "params.yaml:1: is no YAML at column 4: found undefined alias 'b'"),
        ("1: x", "params.yaml:1: a key must be text, not 1"),
        ("? [1]\n: x", "params.yaml:1: a key must be text, not a list or a mapping"),
        ("a: !!python/name:os.system x", "params.yaml:1: the tag"),
        ("a: !cuda {b: 1}", "params.yaml:1: the tag '!cuda' is not allowed"),
        ("--- a\n--- b", "params.yaml:2: is no YAML at column 1: expected a single document"),
        ("a: \x07", "params.yaml: is no YAML: special characters are not allowed"),
        ("[" * 700, "params.yaml: is no YAML that can be read: its brackets are too deep"),
        ("a: &a [*a]", "params.yaml:1: more than 20 levels, aliases expanded"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_line(
    text: str, sentence: str, tmp_path: Path
) -> None:
    assert told(text=text, folder=tmp_path).startswith(sentence)


def test_aliases_that_multiply_end_in_a_sentence_at_once(tmp_path: Path) -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12)]
    text = "\n".join(["l0: &l0 [0]", *levels])
    assert "more than 20,000 values, aliases expanded" in told(text=text, folder=tmp_path)


def test_a_file_in_another_encoding_or_too_large_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"params\.yaml: byte 3 is no UTF-8"):
        Params.read(file)
    file.write_text("# " + "x" * documents.BYTES)
    with pytest.raises(ConfigError, match="more than 1,000,000 bytes"):
        Params.read(file)
    file.write_bytes(b"\xef\xbb\xbf" + WHOLE.encode())
    assert Params.read(file).protocol == Params.read(ROOT / "params.yaml").protocol


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("1e-3", 1e-3),
        ("'1e-3'", "1e-3"),
        ("017", 17),
        ("0o17", 15),
        ("2026-01-01", "2026-01-01"),
        ("~", None),
        ("true", True),
        ("[1, 2.0]", [1, 2.0]),
        ("{on: off}", {"on": "off"}),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = parse(text, "file").plain()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("protocol.max_epochs=yes", "protocol.max_epochs is 'yes'; it must be a whole number of"),
        ("protocol.max_epochs=12:30", "protocol.max_epochs is '12:30'; it must be a whole number"),
        ("protocol.max_epochs=true", "protocol.max_epochs is true; it must be a whole number"),
        ("protocol.max_epochs=2.0", "protocol.max_epochs is 2.0; it must be a whole number"),
        ("protocol.max_epochs=0", "protocol.max_epochs is 0; it must be a whole number of at leas"),
        ("protocol.max_epochs=", "protocol.max_epochs is empty; it must be a whole number"),
        ("protocol.max_epoch=3", "protocol.max_epoch is no key; did you mean 'max_epochs'?"),
        ("protocl.max_epochs=3", "protocl is no key; did you mean 'protocol'?"),
        ("protocol=3", "protocol is 3; it must be a mapping with the keys backbone, "),
        ("protocol.dropout=1", "protocol.dropout is no key; "),
        ("protocol.backbone.dropout=1", "protocol.backbone.dropout is 1; it must be a number of"),
        ("protocol.backbone.hidden=[8, x]", "protocol.backbone.hidden[1] is 'x'; it must be a w"),
        ("protocol.batch_size=1000000000000", "protocol.batch_size is 1000000000000; it must be"),
        ("protocol.backbone.embedding_size=99999", "protocol.backbone.embedding_size is 99999;"),
        (
            "protocol.kept_epoch=lst",
            "protocol.kept_epoch is 'lst'; it must be one of best, last; d",
        ),
        (
            "protocol.device=cuda:1",
            "protocol.device is 'cuda:1'; it must be auto, cpu or cuda; CUDA",
        ),
        ("protocol.learning_rate.low=0.5", "protocol.learning_rate.low is 0.5; it must be below "),
        (
            "protocol.learning_rate.default=0.5",
            "protocol.learning_rate.default is 0.5; it must lie",
        ),
        ("protocol.weight_decay.low=0", "protocol.weight_decay.low is 0; it must be a number abov"),
        (
            "leaderboard.confidence=95",
            "leaderboard.confidence is 95; it must be a number above 0 a",
        ),
        ("leaderboard.confidence=1.0", "leaderboard.confidence is 1.0; it must be a number above"),
        ("leaderboard.confidence=-0.5", "leaderboard.confidence is -0.5; it must be a number abo"),
        ("leaderboard.confidence=.nan", "leaderboard.confidence is .nan; it must be a number abo"),
        ("leaderboard.columns=[]", "leaderboard.columns is empty; it must be a non-empty list"),
        ("methods=[naive, naive]", "methods is ['naive', 'naive']; 'naive' stands in it twice"),
        ("methods=[]", "methods is empty; it must be all, or a non-empty list"),
        ("methods=naive", "methods is 'naive'; it must be all, or a non-empty list"),
        ("methods=[../methods/naive]", "methods[0] is '../methods/naive'; it must be a file name"),
        ("datasets=[1]", "datasets[0] is 1; it must be a file name without folder"),
        ("options.x=3", "options.x is 3; it must be a mapping"),
        (
            "launch.on=slrm",
            "launch.on is 'slrm'; it must be one of local, slurm, ray; did you mean",
        ),
        ("launch.workers=0", "launch.workers is 0; it must be a whole number of at least 1"),
        ("nothing", "'nothing' is no assignment"),
        ("=3", "'=3' is no assignment"),
        ("a..b=3", "'a..b=3' is no assignment"),
        ("methods=[", "is no YAML at column"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_key_value_and_what_is_allowed(
    setting: str, sentence: str, tmp_path: Path
) -> None:
    assert told(setting, folder=tmp_path).startswith(f"--set: {sentence}")


LONG = "x" * 1000  # the longest simple key of YAML has 1,024 characters


@pytest.mark.parametrize(
    "setting",
    [
        f"datasets=[{LONG}]", f"methods=[{LONG}, {LONG}]", f"{LONG}=3", f"protocol.{LONG}=3",
        f"launch={{{LONG}: 1, {LONG}: 2}}", f"launch=!{LONG} 3", f"launch=!!int {LONG}",
        f"launch={{!!int {LONG}: 1}}", LONG,
    ],
)  # fmt: skip
def test_a_long_value_or_key_is_shortened(setting: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_names(StudyParams.read(ROOT / "params.yaml", settings=[setting]))
    for sentence in error.value.sentences:
        assert "xxx…" in sentence
        assert "x" * 61 not in sentence


def test_a_key_that_would_not_be_seen_is_quoted(tmp_path: Path) -> None:
    text = f'{WHOLE}\n"a\\nb": 1\n'
    assert r": 'a\nb' is no key; " in told(text=text, folder=tmp_path)
    assert ": '' is no key; " in told(text=f"{WHOLE}\n'': 1\n", folder=tmp_path)


def test_a_folder_with_too_long_a_name_is_one_short_sentence(tmp_path: Path) -> None:
    said = told(text=f"{WHOLE}\nplugins: [{'x' * 5000}]\n", folder=tmp_path)
    assert re.search(r"params\.yaml:\d+: plugins\[0\] is 'x+…; it must be a folder", said)


def test_a_wrong_name_is_told_by_itself(tmp_path: Path) -> None:
    assert told("variants={a-b: {}}", folder=tmp_path) == (
        "--set: variants.a-b cannot have this name; it must be a file name without folder and "
        "without .py"
    )


def test_a_mistake_in_a_variant_is_named_where_it_is_written(tmp_path: Path) -> None:
    said = told("variants={a: {max_epoch: 3}}", folder=tmp_path)
    assert said.startswith("--set: variants.a.max_epoch is no key; did you mean 'max_epochs'?")


@pytest.mark.parametrize("study", ["", "..", ".", "a/b"])
def test_a_study_is_a_folder_of_studies(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(FileNotFoundError, match=r"^no study '.*' in studies/; known: "):
        _ = Workspace(study).params


def test_a_missing_key_is_one_sentence_with_the_line_of_its_section(tmp_path: Path) -> None:
    text = re.sub(r"  batch_size: .*\n", "", WHOLE)
    line = 1 + text.splitlines().index("protocol:")
    assert told(text=text, folder=tmp_path).startswith(
        f"params.yaml:{line}: protocol.batch_size is missing; it must be a whole number of at least"
    )


def test_a_misspelled_key_is_not_told_as_missing_too(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(WHOLE.replace("  batch_size:", "  batchsize:"))
    with pytest.raises(ConfigError) as error:
        Params.read(file)
    line = 1 + next(n for n, text in enumerate(WHOLE.splitlines()) if "  batch_size:" in text)
    assert error.value.sentences == (
        f"{file}:{line}: protocol.batchsize is no key; did you mean 'batch_size'?",
    )


def test_each_mistake_has_its_sentence_and_the_first_counts_the_others(tmp_path: Path) -> None:
    settings = ["protocol.max_epochs=x", "protocol.patience=y", "launch.on=z"]
    with pytest.raises(ConfigError) as error:
        Params.read(ROOT / "params.yaml", settings=settings)
    assert len(error.value.sentences) == 3
    assert str(error.value).endswith("(and 2 more: `python -m benchmark check` lists all)")


def test_the_line_is_that_of_the_file_that_set_the_value(tmp_path: Path) -> None:
    whole, study = tmp_path / "params.yaml", tmp_path / "study.yaml"
    line = 1 + next(n for n, text in enumerate(WHOLE.splitlines()) if "  patience:" in text)
    whole.write_text(WHOLE.replace("  patience: 2", "  patience: two"))
    study.write_text("protocol:\n  # a comment\n  max_epochs: x\n")
    with pytest.raises(ConfigError) as error:
        Params.read(whole, study)
    first, second = error.value.sentences
    assert first.startswith(f"{study}:3: protocol.max_epochs is 'x'; it must be")
    assert second.startswith(f"{whole}:{line}: protocol.patience is 'two'; it must be")


def test_settings_reach_into_sections_and_the_last_one_holds() -> None:
    settings = ["protocol.tuning.trials=0", "protocol.tuning.trials=3", "launch={on: slurm}"]
    params = Params.read(ROOT / "params.yaml", settings=settings)
    assert params.protocol.tuning.trials == 3
    assert params.protocol.tuning.batch == Params.read(ROOT / "params.yaml").protocol.tuning.batch
    assert params.launch.on == "slurm"


def test_a_default_may_lie_outside_its_range_where_nothing_is_tuned() -> None:
    settings = ["protocol.tuning.trials=0", "protocol.weight_decay.default=0"]
    assert Params.read(ROOT / "params.yaml", settings=settings).protocol.weight_decay.default == 0


def test_an_old_name_is_told_with_the_new_one(tmp_path: Path) -> None:
    class Short(Section):
        renamed = {"old": "write `new`"}
        new: int
        """A number."""

    with pytest.raises(ConfigError) as error:
        validated(Short, parse("old: 3", "params.yaml"))
    assert error.value.sentences[0] == "params.yaml:1: old is an old name; write `new`"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_the_params_of_every_study_are_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert isinstance(Workspace(path.parent.name).params, StudyParams)


def sections(kind: type[Section]) -> list[type[Section]]:
    return [kind, *(below for section in kind.__subclasses__() for below in sections(section))]


IN_PARAMS = [kind for kind in sections(Section) if kind.__module__ == "benchmark.config"]


@pytest.mark.parametrize("kind", IN_PARAMS[1:], ids=lambda kind: kind.__name__)
def test_every_key_has_a_description_and_says_what_is_allowed(kind: type[Section]) -> None:
    for name, field in kind.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert allowed(field) not in ("", "a value"), name


def test_the_models_read_what_yaml_libraries_read() -> None:
    assert Protocol.model_validate(yaml.safe_load(WHOLE)["protocol"])
