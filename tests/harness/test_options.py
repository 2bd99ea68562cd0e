"""The command line: from arguments to settings, what identifies a run, help, bad values."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import released
from harness import experiment, options, results
from tests.conftest import Ended

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The settings of the authors' scripts: hidden layers, head, epochs or steps, batch, learning rate,
# its decay, dropout, where, initial weights.
SETTINGS = {
    "anpyc_wo_np": ((512, 256), "multi", 50, None, 256, 0.1, 0.9, 10, 0.5, "both"),
    "anpyc_wi_np": ((64, 32), "multi", 30, None, 256, 0.02, 0.9, 5, 0.5, "both"),
    "lwf": ((512, 256), "multi", 50, None, 256, 0.1, 0.9, 10, 0.5, "both"),
    "finetune": ((512, 256), "multi", 50, None, 256, 0.1, 0.9, 10, 0.5, "both"),
    "sgd_single_head": ((512, 256), "single", 50, None, 256, 0.1, 0.9, 10, 0.5, "both"),
    "sgd_freeze": ((512, 256), "multi", None, 10_000, 256, 0.001, 1, None, 0.5, "h2"),
    "joint": ((512, 256), "single", 50, None, 256, 0.1, 0.9, 10, 0.5, "both"),
    "ewc": ((512, 256), "single", None, 10_000, 256, 0.001, 1, None, 0.5, "h2"),
    "mas": ((512, 256), "single", None, 10_000, 256, 0.001, 1, None, 0.5, "h2"),
    "si": ((512, 256), "single", 50, None, 64, 0.01, 1, None, 0.5, "both"),
    "cal_importance_distribution": ((64, 32), None, 10, None, 128, 0.1, 0.9, 10, 0, None),
}
FIELDS = (
    *("hidden", "head", "epochs", "steps", "batch_size", "learning_rate"),
    *("lr_decay", "lr_decay_epochs", "dropout", "dropout_layers"),
)
OWN: dict[str, dict[str, Any]] = {
    "anpyc_wo_np": {"strength": (1.5,), "merge": "max", "measure": "released"},
    "anpyc_wi_np": {
        "strength": (3,),
        "merge": "sum",
        "measure": "released",
        "retrain_epochs": 30,
        "prune_percent": 50,
        "prune_decay": 0.8,
        "prune_step": 10,
    },
    "lwf": {"strength": (0.01,), "temperature": 2, "distillation": "sum"},
    "si": {"strength": (0.1,), "xi": 0.1, "init": "fan-in-uniform"},
    "ewc": {"strength": (10,), "fisher": "sampled", "gamma": None},
    "mas": {"strength": (10,), "output": "probabilities"},
    "cal_importance_distribution": {
        "tasks": 1,
        "seeds": tuple(range(10)),
        "retrain_epochs": 2,
        "prune_percent": 85,
        "prune_step": 5,
    },
}
DEFECTS = {
    "anpyc_wo_np": {"D1", "D2", "D3", "D12", "D16"},
    "anpyc_wi_np": {"D3", "D10", "D15", "D16"},
    "lwf": {"D1", "D11", "D12"},
    "finetune": {"D1"},
    "sgd_single_head": {"D1", "D9"},
    "sgd_freeze": {"D14"},
    "joint": {"D1"},
    "ewc": {"D3", "D4", "D5", "D14", "D16"},
    "mas": {"D3", "D6", "D14", "D16"},
    "si": {"D1", "D7", "D8", "D16"},
    "cal_importance_distribution": {"D3", "D4", "D6"},
}
# λ of the release, on which its other defects have a bearing.
RELEASED_STRENGTH = {
    "ewc": (15,),
    "mas": (0.1,),
    "si": (0.1,),
    "anpyc_wi_np": (3,),
    "anpyc_wo_np": (0.5, 1.5, 2, 2.5, 3, 4, 6, 7, 8, 10, 12, 15),
    "lwf": (0.01, 0.1, 0.5, 1, 2, 4, 6, 8),
}

# Fields that leave the numbers of a run as they are, or stand beside the settings in its result.
NOT_IN_IDENTITY = {
    *("strength", "seeds", "data_dir", "results_dir", "device", "fresh", "figures"),
    *("tensorboard", "plot_only"),
}


each_released = pytest.mark.parametrize("script", SETTINGS)


def settings_of(script: str) -> type[options.Settings]:
    """Return a script's settings class."""
    cls = importlib.import_module(script).Settings
    assert issubclass(cls, options.Settings)
    return cls


def parse(script: str, *arguments: str) -> Any:
    """Return the settings that a script makes of arguments."""
    return options.parse(settings_of(script), "Does something.", arguments)


def identity(script: str, *arguments: str) -> str:
    """Return the text that the hash in a run's name is made from."""
    return json.dumps(parse(script, *arguments).identity(), sort_keys=True)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return the function that asserts that arguments are refused, in the line it returns."""

    def refused(script: str, *arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            parse(script, *arguments)
        assert ended.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.endswith("\n") and err.count("\n") == 1, err
        assert "Traceback" not in err
        return err

    return refused


# Defaults


@each_released
def test_defaults_are_those_of_the_release(script: str) -> None:
    settings = parse(script)
    general = {"tasks": 10, "seeds": (0,), "init": "truncated-normal"}
    common = dict(zip(FIELDS, SETTINGS[script], strict=True))
    for name, value in {**general, **common, **OWN.get(script, {})}.items():
        if name in ("epochs", "steps"):
            assert getattr(settings, name, None) == value, name
        elif value is not None:  # unspecified: not a setting, or of no effect
            assert getattr(settings, name) == value, name
    assert settings.as_released == ()
    assert getattr(settings, "update", "proximal") == "proximal"
    assert getattr(settings, "evaluate_every", None) is None


def test_shared_defaults(script: str) -> None:
    settings = parse(script)
    assert settings == settings_of(script)()
    assert (settings.data_dir, settings.results_dir) == (ROOT / "data", ROOT / "runs")
    assert (settings.device, settings.permutations) == ("auto", "fixed")
    assert (settings.fresh, settings.figures) == (False, "png")
    assert settings.tensorboard is settings.train_examples is None


# Flags


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("anpyc_wi_np --tasks 3", "tasks", 3),
        ("anpyc_wi_np --permutations per-seed", "permutations", "per-seed"),
        ("anpyc_wi_np --evaluate-every 2", "evaluate_every", 2),
        ("anpyc_wi_np --merge max", "merge", "max"),
        ("anpyc_wi_np --batch-size=64", "batch_size", 64),
        ("anpyc_wi_np --learning-rate 1e-3", "learning_rate", 0.001),
        ("anpyc_wi_np --lr-decay 1", "lr_decay", 1.0),
        ("anpyc_wi_np --lr-decay-epochs 2.5", "lr_decay_epochs", 2.5),
        ("anpyc_wi_np --hidden 64 33", "hidden", (64, 33)),
        ("anpyc_wi_np --head single", "head", "single"),
        ("anpyc_wi_np --dropout 0", "dropout", 0.0),
        ("anpyc_wi_np --dropout-layers h2", "dropout_layers", "h2"),
        ("anpyc_wi_np --init fan-in-uniform", "init", "fan-in-uniform"),
        ("anpyc_wi_np --update explicit", "update", "explicit"),
        ("anpyc_wi_np --lambda 4", "strength", (4,)),
        ("anpyc_wi_np --lambda 1 3.5 0 1e2", "strength", (1, 3.5, 0, 100)),
        ("anpyc_wi_np --seeds 4", "seeds", (4,)),
        ("anpyc_wi_np --seeds 2 1 0", "seeds", (2, 1, 0)),
        ("anpyc_wi_np --train-examples 300", "train_examples", 300),
        ("anpyc_wi_np --data-dir some/where", "data_dir", Path("some/where")),
        ("anpyc_wi_np --results-dir /some/where", "results_dir", Path("/some/where")),
        ("anpyc_wi_np --device gpu", "device", "gpu"),
        ("anpyc_wi_np --fresh", "fresh", True),
        ("anpyc_wi_np --figures pdf", "figures", "pdf"),
        ("anpyc_wi_np --no-figures", "figures", "none"),
        ("anpyc_wi_np --tensorboard logs", "tensorboard", Path("logs")),
        ("anpyc_wi_np --prune-percent 40", "prune_percent", 40),
        ("anpyc_wi_np --prune-decay 0.5", "prune_decay", 0.5),
        ("anpyc_wi_np --prune-step 5", "prune_step", 5),
        ("anpyc_wi_np --retrain-epochs 7", "retrain_epochs", 7),
        ("si --xi 0.001", "xi", 0.001),
        ("lwf --temperature 1.5", "temperature", 1.5),
        ("mas --output logits", "output", "logits"),
        ("ewc --fisher exact", "fisher", "exact"),
        ("ewc --gamma 1", "gamma", 1.0),
        ("joint --head shared", "head", "shared"),
        ("joint --epochs 3", "epochs", 3),  # which has no --steps that they replace
    ],
)
def test_flag_sets_its_setting_and_no_other(line: str, name: str, value: Any) -> None:
    settings, default = parse(*line.split()), parse(line.split()[0])
    changed = getattr(settings, name)
    assert (changed, type(changed)) == (value, type(value)) != getattr(default, name)
    assert dataclasses.replace(settings, **{name: getattr(default, name)}) == default


def test_run_from_python_takes_the_first_strength_and_seed_of_the_settings() -> None:
    @experiment.method
    def held(settings: Any, tasks: Any, strength: float, seed: int, progress: Any) -> Any:
        return strength, seed, progress.learned

    @experiment.method
    def free(settings: Any, tasks: Any, seed: int, progress: Any) -> Any:
        return seed

    settings = parse("ewc", "--lambda", "3", "1", "--seeds", "7", "2")
    assert held(settings, []) == (3, 7, ())
    assert held(settings, [], strength=0.5, seed=0) == (0.5, 0, ())
    assert free(settings, []) == 7
    with pytest.raises(TypeError, match="strength"):
        free(settings, [], strength=1.0)


def test_scripts_lack_flags_that_make_no_sense(refused: Any) -> None:
    for script, flag in (
        ("anpyc_wo_np", "--prune-percent"),
        ("anpyc_wo_np", "--xi"),
        ("finetune", "--lambda"),
        ("finetune", "--update"),
        ("lwf", "--head"),
        ("joint", "--steps"),
        ("joint", "--evaluate-every"),
        ("mas", "--merge"),
        ("mas", "--gamma"),
    ):
        assert flag in refused(script, flag, "1")


def test_steps_replace_default_epochs_and_epochs_default_steps() -> None:
    for script in ("anpyc_wo_np", "ewc"):
        of_steps, of_epochs = parse(script, "--steps", "70"), parse(script, "--epochs", "7")
        assert (of_steps.epochs, of_steps.steps) == (None, 70)
        assert (of_epochs.epochs, of_epochs.steps) == (7, None)


def test_epochs_exclude_steps(refused: Any) -> None:
    for script in ("anpyc_wo_np", "ewc"):
        line = refused(script, "--steps", "4", "--epochs", "3")
        assert "--epochs" in line and "--steps" in line


# Defects of the release


@each_released
def test_as_released_alone_is_every_defect_of_the_script(script: str) -> None:
    settings = parse(script, "--as-released")
    assert settings.as_released == settings_of(script).DEFECTS
    assert set(settings.as_released) == DEFECTS[script]
    assert getattr(settings, "update", None) in ("explicit", None)
    if script in RELEASED_STRENGTH:
        assert settings.strength == RELEASED_STRENGTH[script]
    for number in range(1, 20):
        assert settings.released(f"D{number}") == (f"D{number}" in DEFECTS[script])


def test_as_released_names_single_defects() -> None:
    settings = parse("anpyc_wo_np", "--as-released", "D1", "D3")
    assert settings.as_released == ("D1", "D3")
    assert [settings.released(f"D{number}") for number in (1, 2, 3, 16)] == [True, False] * 2
    assert settings.update == "proximal"


def test_defect_changes_a_default_but_not_what_is_given() -> None:
    assert parse("anpyc_wo_np", "--as-released", "D16").update == "explicit"
    assert parse("anpyc_wo_np", "--as-released", "D16", "--update", "explicit").update == "explicit"
    assert parse("ewc", "--as-released", "D4").strength == (15,)
    for script in ("ewc", "anpyc_wo_np"):
        assert parse(script, "--as-released", "--lambda", "3").strength == (3,)


def test_defect_and_its_opposite_contradict_each_other(refused: Any) -> None:
    for arguments in ("--as-released", "--as-released D16"):
        line = refused("anpyc_wo_np", *arguments.split(), "--update", "proximal")
        assert "D16" in line and "--update" in line
    for defect, flag, value in (
        ("D4", "--fisher", "exact"),
        ("D4", "--fisher", "labels"),
        ("D5", "--gamma", "0.9"),
    ):
        for defects in ([], [defect]):
            line = refused("ewc", "--as-released", *defects, flag, value)
            assert defect in line and flag in line
        assert parse("ewc", "--as-released", "D3", flag, value)


def test_unknown_defect_is_refused_and_the_known_are_named(refused: Any) -> None:
    for defect in ("D99", "D10", "d1", "1"):
        line = refused("anpyc_wo_np", "--as-released", "D1", defect)
        assert "--as-released" in line and defect in line
        assert all(own in line for own in DEFECTS["anpyc_wo_np"])


# What identifies a run


def other_value(field: dataclasses.Field[Any], declared: options.Option, settings: Any) -> Any:
    """Return an allowed value of a field other than that of the settings."""
    value = getattr(settings, field.name)
    if field.name == "as_released":
        return tuple(defect for defect in settings.DEFECTS if defect != "D16")[:1]
    if declared.choices:
        return next(choice for choice in declared.choices if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return tuple(number + 1 for number in value)
    if field.name == "gamma":
        return 0.5
    if value is None:
        return Path("other") if field.name == "tensorboard" else 7
    return value / "other" if isinstance(value, Path) else value / 2 or 0.25


@each_released
def test_identity_is_everything_that_changes_numbers(script: str) -> None:
    settings = parse(script)
    declared = options.options_of(type(settings))
    for field in dataclasses.fields(settings):
        changes = {field.name: other_value(field, declared[field.name], settings)}
        if {"epochs", "steps"} <= declared.keys() and field.name in ("epochs", "steps"):
            changes = {"epochs": None, "steps": None, field.name: 7}
        if field.name == "evaluate_steps":  # which needs the other one
            settings = dataclasses.replace(settings, evaluate_every=1)
        changed = dataclasses.replace(settings, **changes)
        assert changed != settings, field.name
        same = changed.identity() == settings.identity()
        assert same == (field.name in NOT_IN_IDENTITY), field.name


def test_the_order_in_which_defects_are_named_is_no_matter() -> None:
    every = sorted(DEFECTS["anpyc_wo_np"], reverse=True)
    for named, same in (("D1 D3", "D3 D1"), ("D1 D3", "D1 D3 D1"), ("", " ".join(every))):
        first, second = (
            identity("anpyc_wo_np", "--as-released", *defects.split()) for defects in (named, same)
        )
        assert first == second


def test_minus_zero_is_the_same_run_as_zero() -> None:
    for zero in ("0", "-0", "0.0", "-0.0"):
        (strength,) = parse("anpyc_wo_np", "--lambda", zero).strength
        assert results.run_name(strength, 0) == "lambda0_seed0"


# Help


def test_help_states_every_flag_with_a_default_that_typed_out_is_the_same_run(
    script: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # no flag's help is broken into lines
    cls, doc = settings_of(script), importlib.import_module(script).__doc__
    with pytest.raises(SystemExit) as ended:
        options.parse(cls, doc, ["--help"])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    assert doc in out
    typed = []
    for name, declared in options.options_of(cls).items():
        flag, value = declared.flag, getattr(cls(), name)
        # One entry, with a second line if the flag is long.
        (entry,) = re.findall(rf"^  {flag}(?:[ \n].*(?:\n    .*)*)?$", out, flags=re.MULTILINE)
        entry = " ".join(entry.split())
        assert all(choice in entry for choice in declared.choices)
        default, *others = re.findall(r"\[(.*?)\]", entry.partition(declared.help)[2])
        brought = [defect for defect in declared.released if defect in cls.DEFECTS]
        assert [text.split(":")[0] for text in others] == [f"with {defect}" for defect in brought]
        if default == "no":
            assert value in (None, False, ())
        elif isinstance(value, Path):
            assert ROOT / default == value
        else:
            typed += [flag, *default.split()]
    assert identity(script, *typed) == identity(script)
    assert parse(script, *typed) == cls()
    for defect in cls.DEFECTS:
        assert re.search(rf"^  {defect} +{released.DEFECTS[defect]}$", out, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("script", "entry"),
    [
        ("anpyc_wo_np", "[proximal] [with D16: explicit]"),
        ("ewc", "[10] [with D4: 15]"),
        ("mas", "[10] [with D6: 0.1]"),
        ("lwf", "[0.01] [with D12: 0.01 0.1 0.5 1 2 4 6 8]"),
    ],
)
def test_help_states_the_default_that_a_defect_brings(
    script: str, entry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(script, "--help")
    assert entry in " ".join(capsys.readouterr().out.split())


@dataclasses.dataclass(frozen=True)
class OwnSettings(options.Settings):
    """As of a new method, of which the release has nothing."""

    share: int = options.option(5, "100 % of %s")


def test_script_without_defects_has_no_as_released(capsys: pytest.CaptureFixture[str]) -> None:
    for argument in ("--help", "--as-released"):
        with pytest.raises(SystemExit):
            options.parse(OwnSettings, "", [argument])
    out, err = capsys.readouterr()
    assert "100 % of %s [5]" in out and "--as-released" not in out
    assert "unrecognized arguments: --as-released" in err


def test_field_that_is_not_declared_is_named() -> None:
    walk = ("walk", float, 0.5)
    cls = dataclasses.make_dataclass("S", [walk], bases=(options.Settings,), frozen=True)
    with pytest.raises(TypeError, match=r"^walk .*options\.option"):
        options.options_of(cls)


# Bad values


BAD = {
    "anpyc_wi_np": {
        "--tasks": ("0", "-1", "1.5", "10001", "1000000000", "x", "nan", ""),
        "--epochs": ("0", "1.5"),
        "--steps": ("0", "-10"),
        "--batch-size": ("0", "1e2"),
        # 1e-46 is 0 in 32 bits, 1e39 infinite.
        "--learning-rate": ("0", "-0.1", "nan", "inf", "1e-46", "1e39", "0,1"),
        "--lr-decay": ("0", "2", "nan", "1e-46"),
        "--lr-decay-epochs": ("0", "inf"),
        "--hidden": ("64", "64 0", "64 32 16", "64 x"),
        "--head": ("both",),
        "--dropout": ("1", "-0.1", "nan", "1e-46", "0.999999"),  # no unit would be left
        "--dropout-layers": ("h1",),
        "--init": ("zeros",),
        "--update": ("implicit",),
        "--lambda": (
            *("-1", "nan", "inf", "-inf", "1e999", "1e39", "3 1e-46", "3 1 3.0", "1,3", ""),
            "2e38",  # twice as much is infinite in 32 bits
        ),
        "--seeds": ("-1", "0 1 0", "2147483648", "0.5", ""),
        "--train-examples": ("0",),
        "--evaluate-every": ("0",),
        "--permutations": ("random",),
        "--merge": ("mean",),
        "--device": ("tpu", ""),
        "--data-dir": ("",),
        "--as-released": ("D99",),
        "--fresh=yes": ("",),
        "--prune-percent": ("101", "-1", "12.5"),
        "--prune-decay": ("1.5", "nan"),
        "--prune-step": ("0", "101"),
        "--retrain-epochs": ("0",),
        "--unknown": ("", "3"),
        "--epoch": ("3",),  # no abbreviations
        "--res": ("/tmp",),
        "-t": ("3",),
    },
    "si": {"--xi": ("0", "1e-46")},
    "lwf": {"--temperature": ("0", "1e-40")},
    "mas": {"--output": ("images",)},
    "ewc": {"--fisher": ("all",), "--gamma": ("0", "1.1", "1e-46")},
    "joint": {"--head": ("both",)},
}


@pytest.mark.parametrize(
    ("script", "flag", "values"),
    [
        (script, flag, values)
        for script, flags in BAD.items()
        for flag, several in flags.items()
        for values in several
    ],
)
def test_bad_value_is_refused_in_one_line_that_names_the_flag(
    refused: Any, script: str, flag: str, values: str
) -> None:
    assert flag.split("=")[0] in refused(script, flag, *values.split())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--seeds 0 1 0", "names a value twice"),
        ("--lambda 1e39", "1e+39 does not fit into a 32-bit float; it has to be 1e-37 to 1e+38"),
        ("--learning-rate 1e-46", "1e-46 does not fit into a 32-bit float"),
        ("--lambda -1", "-1.0 is not a finite number from 0"),
        ("--tasks 10001", "10001 is not a whole number from 1 to 10000"),
        ("--prune-decay 1.5", "1.5 is not a number from 0 to 1"),
        ("--prune-step 0", "0 is not a whole number from 1 to 100"),
        ("--epochs 1.5", "'1.5' is not a whole number from 1"),
        ("--hidden 64 x", "'x' is not a whole number from 1"),
        ("--lambda 3 one", "'one' is not a finite number from 0"),
        ("--head both", "'both' is none of multi, single"),
        ("--hidden 64", "needs two numbers"),
        ("--evaluate-steps 5", "needs --evaluate-every"),
        ("--steps 10 --epochs 3", "either --epochs or --steps"),
        ("--as-released D99", "D99: this script has D3, D10, D15, D16"),
        ("--data-dir=", "a name is needed"),
    ],
)
def test_refusal_says_why(refused: Any, line: str, reason: str) -> None:
    assert reason in refused("anpyc_wi_np", *line.split())


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("--lamda 3", "--lambda"),
        ("--lamda=3", "--lambda"),
        ("--Lambda 3", "--lambda"),
        ("-lambda 3", "--lambda"),
        ("lambda 3", "--lambda"),
        ("—lambda 3", "--lambda"),  # the dash of a word processor
        ("--res mine", "--results-dir"),
        ("--as_released", "--as-released"),
        ("--epoch 3 --tasks 2 --sed 1", "--epochs, --seeds"),
        ("--colour head --hiden 8 4", "--hidden"),
        ("--head mutli", "multi"),
        ("--update Explicit", "explicit"),
        ("--as-released D3 d16", "D16"),
        ("--as-released D155", "D15"),
    ],
)
def test_misspelt_name_gets_the_one_that_it_is_like(refused: Any, line: str, meant: str) -> None:
    assert f"; did you mean {meant}?" in refused("anpyc_wi_np", *line.split())


@each_released
def test_name_that_another_script_has_is_not_misspelt(script: str, refused: Any) -> None:
    flags = {
        name: {declared.flag for declared in options.options_of(settings_of(name)).values()}
        for name in SETTINGS
    }
    of_others = set().union(*flags.values()) - flags[script]
    assert of_others
    for flag in of_others:
        assert "did you mean" not in refused(script, flag, "1")
    for defect in set(released.DEFECTS) - set(DEFECTS[script]):
        assert "did you mean" not in refused(script, "--as-released", defect)


@pytest.mark.parametrize("arguments", [["3"], ["--tasks", "3", "4"], [""], ["--bad\nflag"]])
def test_stray_argument_is_refused_in_one_line(refused: Any, arguments: list[str]) -> None:
    refused("anpyc_wo_np", *arguments)


def test_bad_value_is_refused_in_python_too() -> None:
    cls: Any = settings_of("anpyc_wo_np")
    with pytest.raises(options.UsageError, match=r"did you mean multi\?"):
        cls(head="mutli")
    for values in (
        {"tasks": 0},
        {"hidden": (64,)},
        {"strength": ()},
        {"seeds": ()},
        {"steps": 5},  # beside the default epochs
        {"as_released": ("D10",)},
        {"head": "both"},
        {"head": 1},
        {"as_released": (16,)},
    ):
        with pytest.raises(options.UsageError):
            cls(**values)


def without_packages(code: str, *arguments: str) -> Ended:
    """Run Python code from the project's folder, in a Python that has no packages."""
    command = [sys.executable, "-S", "-E", "-c", f"import runpy, sys; {code}", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


RUN = "runpy.run_path(sys.argv[1], run_name='__main__')"


@pytest.mark.parametrize("name", [*SETTINGS, "reproduce_tables"])
def test_without_packages_a_script_says_what_to_install_and_how_to_run_it(name: str) -> None:
    expected = "pip install -r requirements.txt", f"run with `.venv/bin/python {name}.py`"
    without_packages(RUN, f"{name}.py").assert_refused(f"{name}: ", "numpy", *expected)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("sys.version_info = (3, 10, 13)", "Python 3.11 or newer is needed, and "),
        ("sys.platform = 'win32'", "WSL"),
    ],
)
def test_where_a_script_cannot_run_it_says_what_is_needed(place: str, reason: str) -> None:
    without_packages(f"{place}; {RUN}", "ewc.py", "--help").assert_refused(reason)


def test_without_packages_an_import_fails_with_what_to_install() -> None:
    ended = without_packages("import ewc")
    assert ended.status == 1
    last = ended.err.splitlines()[-1]
    assert last.startswith("ImportError: ") and "pip install -r requirements.txt" in last
