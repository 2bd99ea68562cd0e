"""Settings of a script: a frozen dataclass, and the command line that is made from it.

A script's dataclass names its settings with their defaults. Flags that several scripts share have
their help and their limits here, in `SHARED`; a method's own are declared with `option`.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from common import data, released
from harness import results

ROOT = Path(__file__).resolve().parents[1]


class UsageError(ValueError):
    """Settings or surroundings that cannot work; the message is one line for the user."""


@dataclasses.dataclass(frozen=True)
class Option:
    """What the command line knows of a setting beside its type and default.

    Attributes:
        help: for `--help`.
        check: whether a value (of a list: each one) is allowed; None for every value.
        allowed: the allowed values in words, for the message.
        flag: on the command line; "" for the field's name.
        choices: the allowed words.
        released: what `parse` takes for the default while a defect of the release is in force:
            D-number -> value.
    """

    help: str
    check: Callable[[Any], bool] | None = None
    allowed: str = ""
    flag: str = ""
    choices: tuple[str, ...] = ()
    released: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def verify(self, value: Any) -> None:
        """Refuses a value that is not allowed; None, where a setting is not set, always is.

        Args:
            value: of the setting, or one of its values where it has several.

        Raises:
            UsageError: the value is refused.
        """
        if value is None:
            return
        if self.choices and value not in self.choices:
            raise UsageError(
                f"{self.flag} {value!r} is none of {', '.join(self.choices)}"
                + did_you_mean(self.choices, value)
            )
        if self.check and not self.check(value):
            raise UsageError(f"{self.flag} {value} is not {self.allowed}")
        low, high = FLOAT32
        if isinstance(value, float) and value and not low <= abs(value) <= high:
            raise UsageError(
                f"{self.flag} {value} does not fit into a 32-bit float; it has to "
                f"be {low:g} to {high:g}, or 0 where that is allowed"
            )


def option(default: Any, text: str, **details: Any) -> Any:
    """Returns a dataclass field for a method's own setting; `details` as in `Option`."""
    return dataclasses.field(default=default, metadata={"option": Option(text, **details)})


def strength(
    default: tuple[float, ...],
    text: str = "",
    released: Mapping[str, tuple[float, ...]] | None = None,
) -> Any:
    """Returns the field of --lambda where it differs from `SHARED`; arguments as in `Option`."""
    shared = SHARED["strength"]
    own = dataclasses.replace(shared, help=text or shared.help, released=released or {})
    return dataclasses.field(default=default, metadata={"option": own})


def positive(value: float) -> bool:
    """Whether a number is finite and above 0."""
    return 0 < value < math.inf


def at_least(least: float) -> Callable[[float], bool]:
    """Returns the check for finite numbers that are not below `least`."""
    return lambda value: least <= value < math.inf


# What is neither 0 nor between these in size is not safe as a 32-bit float, nor is twice as much.
FLOAT32 = (1e-37, 1e38)

# Limits that several settings share.
COUNT: dict[str, Any] = {"check": at_least(1), "allowed": "a whole number from 1"}
POSITIVE: dict[str, Any] = {"check": positive, "allowed": "a number above 0"}
SHARE: dict[str, Any] = {"check": lambda value: 0 <= value <= 1, "allowed": "a number from 0 to 1"}
PERCENT: dict[str, Any] = {
    "check": lambda value: 0 <= value <= 100,
    "allowed": "a whole number from 0 to 100",
}
STEP: dict[str, Any] = {
    "check": lambda value: 1 <= value <= 100,
    "allowed": "a whole number from 1 to 100",
}

SHARED = {
    "tasks": Option(
        "number of tasks T",
        check=lambda value: 1 <= value <= data.MOST_TASKS,
        allowed=f"a whole number from 1 to {data.MOST_TASKS}",
    ),
    "permutations": Option(
        "the tasks of the release for every seed (fixed), or each seed its own (per-seed)",
        choices=("fixed", "per-seed"),
    ),
    "epochs": Option("epochs per task; an epoch is N // batch + 1 steps", **COUNT),
    "steps": Option("steps per task, instead of --epochs", **COUNT),
    "batch_size": Option("images in a batch", **COUNT),
    "learning_rate": Option("of plain SGD, at the start of a task", **POSITIVE),
    "lr_decay": Option(
        "factor on the learning rate after every --lr-decay-epochs; 1 keeps it constant",
        check=lambda value: 0 < value <= 1,
        allowed="a number above 0, up to 1",
    ),
    "lr_decay_epochs": Option("epochs between two decays of the learning rate", **POSITIVE),
    "hidden": Option("units of the two hidden layers", **COUNT),
    "head": Option(
        "one head per task (multi) or one for all (single)", choices=("multi", "single")
    ),
    "dropout": Option(
        "share of units dropped in training",
        check=lambda value: 0 <= value <= 1 - 2**-16,  # the share is taken in steps of 2^-16
        allowed="a number from 0 to 0.99998",
    ),
    "dropout_layers": Option(
        "dropout after both hidden layers or after the second alone", choices=("both", "h2")
    ),
    "init": Option("initial weights", choices=("truncated-normal", "fan-in-uniform")),
    "update": Option(
        "where the consolidation term is taken: at the new point (stable) or the old one",
        choices=("proximal", "explicit"),
        released={"D16": "explicit"},
    ),
    "merge": Option(
        "how the importances of the tasks are combined, element by element",
        choices=("max", "sum"),
    ),
    "measure": Option(
        "the importance that consolidates: equation 1 as released, or another function of the "
        "gradient of the output's entropy",
        choices=(
            *("released", "taylor", "absolute", "gradient", "square", "square-weighted"),
            "uniform",
        ),
    ),
    "strength": Option(
        "consolidation strength; several values make a grid",
        check=at_least(0),
        allowed="a finite number from 0",
        flag="--lambda",
    ),
    "seeds": Option(
        "one run each: initial weights, shuffling, dropout",
        check=lambda value: 0 <= value < 2**31,
        allowed="a whole number from 0, below 2^31",
    ),
    "evaluate_every": Option(
        "also read the test accuracy after every N-th epoch and directly after each pruning",
        **COUNT,
    ),
    "evaluate_steps": Option(
        "with --evaluate-every: also after every N-th step of each task's first epoch", **COUNT
    ),
    "train_examples": Option("train on the first N training images only", **COUNT),
    "data_dir": Option("folder with the four IDX files"),
    "results_dir": Option("where results, checkpoints and figures go"),
    "device": Option("auto takes a GPU if there is one", choices=("auto", "cpu", "gpu")),
    "as_released": Option(
        "repeat the defects of the authors' release, all that are listed below or those named"
    ),
    "fresh": Option("discard stored results and checkpoints of these runs, and start again"),
    "figures": Option("what figures are drawn as", choices=("png", "pdf", "svg", "none")),
    "tensorboard": Option("also write TensorBoard logs to this folder"),
}

# What does not change the numbers of a run, or has a place of its own in its result.
_NOT_IDENTITY = (
    *("strength", "seeds", "data_dir", "results_dir", "device", "fresh", "figures"),
    *("tensorboard", "plot_only"),
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every script has; a script adds its own fields and defaults.

    Raises:
        UsageError: a value is not allowed.
    """

    permutations: str = "fixed"
    seeds: tuple[int, ...] = (0,)
    train_examples: int | None = None
    data_dir: Path = data.DATA_DIR
    results_dir: Path = ROOT / "runs"
    device: str = "auto"
    as_released: tuple[str, ...] = ()
    fresh: bool = False
    figures: str = "png"
    tensorboard: Path | None = None

    DEFECTS: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Checks every value, and gives equal settings one form."""
        hints = typing.get_type_hints(type(self))
        for name, declared in options_of(type(self)).items():
            value = getattr(self, name)
            if hints[name] in (float, float | None) and value is not None:
                value = float(value) + 0.0  # -0 is 0
            elif hints[name] == tuple[float, ...]:
                value = tuple(float(each) + 0.0 for each in value)
            object.__setattr__(self, name, value)
            values = value if isinstance(value, tuple) else (value,)
            if not values and name != "as_released":
                raise UsageError(f"{declared.flag} needs at least one value")
            for each in values:
                declared.verify(each)
            if name in ("seeds", "strength") and len(set(values)) < len(values):
                raise UsageError(f"{declared.flag} names a value twice")
        own: Any = self
        if len(getattr(self, "hidden", (1, 1))) != 2:
            raise UsageError("--hidden needs two numbers, one for each hidden layer")
        if hasattr(self, "steps") and (own.steps is None) == (own.epochs is None):
            raise UsageError("give either --epochs or --steps")
        if getattr(self, "evaluate_steps", None) and own.evaluate_every is None:
            raise UsageError("--evaluate-steps needs --evaluate-every")
        unknown = [defect for defect in self.as_released if defect not in self.DEFECTS]
        if unknown:
            misspelt = [defect for defect in unknown if defect not in released.DEFECTS]
            raise UsageError(
                f"--as-released {unknown[0]}: this script has {', '.join(self.DEFECTS) or 'none'}"
                + did_you_mean(self.DEFECTS, *misspelt)
            )
        in_order = tuple(defect for defect in self.DEFECTS if defect in self.as_released)
        object.__setattr__(self, "as_released", in_order)
        if "D16" in self.as_released and getattr(self, "update", "explicit") != "explicit":
            raise UsageError("--as-released D16 is --update explicit; they contradict each other")

    def released(self, defect: str) -> bool:
        """Whether a defect of the release is to be repeated."""
        return defect in self.as_released

    def identity(self) -> dict[str, Any]:
        """Returns everything that changes a run's numbers beside λ, seed and data."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in _NOT_IDENTITY
        }
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def options_of(cls: type[Settings]) -> dict[str, Option]:
    """Returns the option of every field of a settings class, with its flag.

    Raises:
        TypeError: a field is neither shared nor declared.
    """
    options: dict[str, Option] = {}
    for field in dataclasses.fields(cls):
        name = field.name
        declared = field.metadata.get("option") or SHARED.get(name)
        if declared is None:
            raise TypeError(f"{name} is no setting of `SHARED`; declare it with `options.option`")
        if name != "as_released" or cls.DEFECTS:
            flag = declared.flag or "--" + name.replace("_", "-")
            options[name] = dataclasses.replace(declared, flag=flag)
    return options


# As typed, and as word processors and web pages turn them out.
_DASHES = ("-", "–", "—", "−")


def did_you_mean(right: Iterable[str], *misspelt: object) -> str:
    """Returns "; did you mean …?" with the names that misspelt ones are like, "" if there are none.

    Capitals, and dashes in front, do not count.
    """

    def plain(word: object) -> str:
        return str(word).lstrip("".join(_DASHES)).lower()

    names = {plain(name): name for name in right}
    meant = []
    for word in map(plain, misspelt):
        longer = [name for name in names if name.startswith(word)]
        close = longer if len(longer) == 1 else difflib.get_close_matches(word, names, 1, 0.75)
        meant += [names[name] for name in close]
    return f"; did you mean {', '.join(dict.fromkeys(meant))}?" if meant else ""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def read(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Does what `parse_args` does; of a misspelt flag, it also says which one was meant."""
        given, unknown = self.parse_known_args(arguments)
        if unknown:
            flags = [word.partition("=")[0] for word in unknown if word.startswith(_DASHES)]
            meant = did_you_mean(self._option_string_actions, *(flags or unknown))
            self.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
        return given

    def error(self, message: str) -> NoReturn:
        """Ends with one line, without the usage."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see --help)\n")


def parse(
    cls: type[Settings],
    description: str,
    arguments: Sequence[str] | None = None,
    kind: type[Parser] = Parser,
) -> Any:
    """Reads the command line into a settings object; ends the process on a bad one.

    Args:
        cls: the script's settings.
        description: first lines of `--help`.
        arguments: None for those of the process.
        kind: of parser, whose `error` takes a bad one.
    """
    defects = "".join(f"\n  {defect:5}{released.DEFECTS[defect]}" for defect in cls.DEFECTS)
    parser = kind(
        description=description,
        epilog=defects and f"defects of the release (--as-released):{defects}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    of_every_script = {field.name for field in dataclasses.fields(Settings)}
    options = options_of(cls)
    for name in sorted(options, key=of_every_script.__contains__):  # the script's own come first
        declared = options[name]
        text = f"{declared.help} [{shown(fields[name].default)}]"
        for defect, value in declared.released.items():
            if defect in cls.DEFECTS:
                text += f" [with {defect}: {shown(value)}]"
        keywords: dict[str, Any] = {"dest": name, "help": text.replace("%", "%%")}
        if hints[name] is bool:
            keywords["action"] = "store_true"
        elif name == "as_released":
            keywords.update(nargs="*", metavar="D")
        else:
            keywords.update(_values(hints[name], declared))
        parser.add_argument(declared.flag, **keywords)
        if name == "figures":
            text = "the same as --figures none"
            parser.add_argument(
                "--no-figures", action="store_const", const="none", dest=name, help=text
            )
    given = vars(parser.read(arguments))
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = tuple(value)
    if given.get("as_released") == ():
        given["as_released"] = cls.DEFECTS
    for name, declared in options.items():
        for defect, value in declared.released.items():
            if defect in given.get("as_released", ()):
                given.setdefault(name, value)
    if "steps" in fields and len(given.keys() & {"epochs", "steps"}) == 1:
        given["epochs" if "steps" in given else "steps"] = None
    try:
        return cls(**given)
    except UsageError as error:
        parser.error(str(error))


def _values(hint: Any, declared: Option) -> dict[str, Any]:
    """Returns argparse's words for a type."""
    keywords: dict[str, Any] = {}
    inner = [kind for kind in typing.get_args(hint) if kind not in (type(None), Ellipsis)]
    if typing.get_origin(hint) is tuple:
        keywords["nargs"] = "+"
    kind = inner[0] if inner else hint
    keywords["metavar"] = {int: "N", float: "X", Path: "DIR"}.get(kind)
    if kind is Path:
        keywords["type"] = folder
    elif kind in (int, float):
        keywords["type"] = number(kind, declared.allowed)
    elif declared.choices:
        keywords["metavar"] = f"{{{','.join(declared.choices)}}}"
    return keywords


def number(kind: type[int] | type[float], allowed: str) -> Callable[[str], float]:
    """Returns the function that reads a number of that kind.

    Args:
        kind: of number.
        allowed: as in `Option`.
    """

    def read(text: str) -> float:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}") from None

    return read


def folder(text: str) -> Path:
    """Returns the folder of that name; an empty name, as of an unset variable, is refused.

    Raises:
        ArgumentTypeError: the name is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("a name is needed")
    return Path(text)


def shown(value: Any) -> str:
    """Returns a default as one would type it."""
    if value is None or value == () or value is False:
        return "no"
    if isinstance(value, tuple):
        return " ".join(map(shown, value))
    if isinstance(value, float):
        return results.number(value)
    if isinstance(value, Path) and value.is_relative_to(ROOT):
        return str(value.relative_to(ROOT))
    return str(value)
