"""Every setting of every command, with its unit, its default and where the default comes from.

The dataclasses are checked by pydantic when they are built: an unknown key, a wrong type or a value out of range is an
error. ``hga_cli.core.config`` builds them from presets, files and flags.
"""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from hga_cli.core.quantities import (
    Count,
    Inside,
    NotNegative,
    Number,
    Percent,
    Positive,
    Rate,
    Seed,
    Share,
    Spacing,
    Whole,
)

STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
PlainName = Annotated[str, Field(pattern=r"^[^\W_][\w.+-]*$", max_length=100)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Preprocess:
    """How raw folders become a store."""

    spacing: Spacing | None = None
    """Voxel size of the store in mm along the R, A and S axes; None keeps that of each case."""
    clip: tuple[Percent, Percent] | None = None
    """Percentiles of the foreground that values of each modality are clipped to, e.g. [1, 99]; None: no clipping."""
    align: bool = False
    """Resample images and label on grids of their own onto one grid; False: such cases are problems."""
    mixed_conventions: bool = False
    """Accept that a label has one value in some cases and another in others (BraTS 2021 beside 2023)."""
    on_problem: Literal["stop", "skip"] = "stop"
    """What a case that cannot be used does: end with an error (sound cases are kept), or be left out."""
    workers: Count | None = None
    """Processes; None: one for each core that this process may use."""

    @model_validator(mode="after")
    def _low_before_high(self) -> Self:
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            message = "clip should be two percentiles, the lower one first"
            raise ValueError(message)
        if self.clip is not None and self.clip[1] <= 1:
            message = (
                f"clip ends at the percentile {self.clip[1]:g}; percentiles run from 0 to 100: 1 for 1 %, not 0.01"
            )
            raise ValueError(message)
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Split:
    """Who trains, validates and tests. A subject is never in two parts."""

    name: PlainName | None = None
    """Name of the split; None: default. Folds are called NAME-1, NAME-2, ...; None: fold."""
    ratios: tuple[Share, Share, Share] = (0.7, 0.1, 0.2)
    """Shares of the subjects for training, validation and test; their sum is 1. Folds use the second one only."""
    folds: Annotated[int, Field(ge=2), Number] | None = None
    """Number of splits whose test parts are disjoint and hold every subject once; None: one split."""
    source: str | None = None
    """Folder with train.txt, val.txt, test.txt, a table, or a shipped split; None: drawn by the ratios."""
    subjects: str | None = None
    """CSV file with columns case and subject; None: the rule of the data set."""
    seed: Seed = 1037


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Imbalance:
    """Who misses what, at chosen unequal rates."""

    name: PlainName | None = None
    """Name of the table; None: made from the rates."""
    rates: dict[str, Rate] | str | None = None
    """Missing rate of each modality, or the published short form mrABCD (digits are tenths, 9p5 is 0.95)."""
    rule: Literal["expected", "bernoulli"] = "expected"
    """expected: the published procedure, blocks of expected size; bernoulli: every modality drawn on its own."""
    unit: Literal["subject", "case", "slice"] = "subject"
    """What is drawn together: all cases of a subject miss the same modalities, each case on its own, or each axial
    slice that holds labels (for 2D networks)."""
    empty: Literal["redraw", "drop"] = "redraw"
    """What happens to a unit that keeps nothing: it is drawn again (BraTS), or training leaves it out (MSSEG)."""
    seed: Seed = 1037

    @model_validator(mode="after")
    def _has_a_name_of_its_own(self) -> Self:
        if self.name == "none":
            message = "a table cannot be called 'none': that means no table"
            raise ValueError(message)
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Data:
    """What is read for training."""

    split: str | None = None
    """Name of the split; None: the only one of the store."""
    imbalance: str | None = None
    """Name of the imbalance table; None: the only one of the store, if there is one; none: no table."""
    spacing: Spacing | None = None
    """Voxel size in mm the network works at; None: that of the store. A coarser one makes quick trials possible."""
    patch: tuple[Count, ...] = (80, 80, 80)
    """Size of a training patch and of the sliding window, in voxels; two numbers for a 2D network (PASSION: 80)."""
    batch: Count = 1
    """Patches in one step; all of one combination."""
    foreground: Share = 0.0
    """Share of patches that are centred on a labelled voxel of a class drawn evenly (published: 0)."""
    workers: Whole = 1
    """Processes that read and augment ahead; 0: none."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Augmentation:
    """Random changes of training patches (PASSION, HGA). Image and label change together."""

    rotation: NotNegative = 10.0
    """Largest angle in degrees, in one random plane, nearest neighbour."""
    scale: Share = 0.1
    """Intensities are multiplied by U[1 - scale, 1 + scale], drawn for each modality."""
    shift: NotNegative = 0.1
    """U[-shift, shift] is added to intensities (in standard deviations), drawn for each modality."""
    flip: Share = 0.5
    """Probability of a flip along each axis."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Network:
    """Which network is trained."""

    backbone: str = "unet"
    dims: Literal[2, 3] = 3
    width: Count | None = None
    """Channels of the first level; None: those of the backbone as published in HGA (unet 16, mmformer 8, ...)."""
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Further arguments of the backbone, for example ``depth``."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sampler:
    """In which order cases and combinations are seen."""

    kind: str = "case"
    order: Literal["ascending_then_random", "fixed", "random", "group_fixed_order", "group_sequential"] = (
        "ascending_then_random"
    )
    """Order of the combinations in a cycle; groups are combinations of equal size. Ascending: by size, then in the
    order of the data set's modalities."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Outer:
    """What happens to the weights besides the steps of the optimiser."""

    kind: str = "none"
    epsilon: Annotated[float, Field(gt=0, le=1), Number] = 0.1
    """Step of the interpolation at the first epoch; it grows linearly and would reach 1 at the end (HGA)."""
    inner_rate: Positive = 0.01
    """Learning rate of the inner step of meta, plain gradient descent (usual for MAML; published: a step of Adam)."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Preference:
    """How far each modality lags, and what follows from it: rho in each step, beta over epochs."""

    eta: NotNegative = 0.01
    """Learning rate of beta (HGA: alpha)."""
    growth: Positive = 1.5
    """Factor of eta at epoch 0 and every ``growth_every`` epochs."""
    growth_every: Count = 100
    beta_min: Positive = 0.1
    beta_max: Positive = 4.0
    single: Annotated[Literal[0, 1], Number] = 1
    """rho of a sample with one modality, where there is nothing to compare (HGA: mostly 1, by rounding; PASSION: 0)."""

    @model_validator(mode="after")
    def _least_below_most(self) -> Self:
        if self.beta_min > self.beta_max:
            message = f"beta_min {self.beta_min:g} is above beta_max {self.beta_max:g}"
            raise ValueError(message)
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Term:
    """One loss of the objective."""

    weight: NotNegative = 1.0
    """0 switches the term off. It is then not computed, unless the scale of another term needs its preference."""
    scale: tuple[Literal["beta", "rho", "omega"], ...] = ()
    """What else the loss of a modality is multiplied by; omega is the number of cases by that of its owners."""
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Arguments of the term, for example ``temperature``."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if len(set(self.scale)) < len(self.scale):
            message = f"scale names something twice: {', '.join(self.scale)}"
            raise ValueError(message)
        temperature = self.options.get("temperature", 1.0)
        if isinstance(temperature, int | float) and not 0 < temperature < float("inf"):
            message = f"options.temperature should be a number above 0, found {temperature!r}"
            raise ValueError(message)
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Method:
    """What is trained towards: sampler, terms, outer update. ``presets/methods`` holds one file per method."""

    name: Annotated[str, Field(pattern=r"^[^\W_][\w-]*$", max_length=50)] = "hga"
    """A shipped one, or one of your own (letters, digits, - and _) in a file that lists its terms."""
    sampler: Sampler = Field(default_factory=Sampler)
    outer: Outer = Field(default_factory=Outer)
    preference: Preference = Field(default_factory=Preference)
    warm_up: Whole = 0
    """Epochs at the start in which the term ``separate`` is trained alone, without rho (PASSION, HGA: 0)."""
    terms: dict[str, Term] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Optim:
    """How the weights move."""

    balancer: str = "equal"
    balancer_options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Arguments of the balancer, for example ``clamp``; see ``hga info balancers``."""
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """AdamW with amsgrad (PASSION, HGA); Adam with amsgrad and coupled decay; SGD with Nesterov's momentum."""
    learning_rate: Positive = 2e-4
    """Base rate (PASSION: 2e-4; HGA with late fusion: 2e-3)."""
    weight_decay: NotNegative = 1e-4
    momentum: Inside = 0.99
    """Of SGD (nnU-Net: 0.99)."""
    warm_up: Whole = 0
    """Epochs in which the learning rate rises to its schedule."""
    clip_norm: Positive | None = None
    """Longest gradient, as a Euclidean norm over all parameters; None: not clipped."""
    accumulate: Count = 1
    """Parts in which a batch is computed one after another, to save memory; the gradient of ``equal`` is the same.
    Terms that add up over the batch (``over_batch``, in hga-late) refuse it, and several processes too."""
    power: NotNegative = 0.9
    """Exponent of the polynomial schedule, set once an epoch."""
    epochs: Whole = 300
    iterations: Count | None = None
    """Steps in an epoch; None: one pass over the cases, rounded up to whole cycles (published HGA: 225)."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the network's arithmetic; losses are always float32. fp16 scales losses, on CUDA only."""
    layout: Literal["contiguous", "channels_last"] = "contiguous"
    """Order of voxels and channels in memory. The result is the same up to rounding; which is faster depends."""
    compile: bool = False
    """Let torch compile the network: pays on a GPU in long trainings, costs minutes at the start."""
    recompute: bool = False
    """Compute parts again on the way back instead of keeping them: slower, less memory; not with every backbone."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Validation:
    """What is measured on the validation cases while a network is trained."""

    every: Whole = 10
    """Epochs between two validations; one more at the end; 0: none. Without validation cases there is none."""
    combinations: str = "all"
    """``all``, or a list such as flair+t2,t1."""
    cases: Count | None = None
    """Only the first so many validation cases; None: all."""
    overlap: Rate = 0.25
    """Overlap of neighbouring windows; less than in an evaluation, for speed."""
    patience: Count | None = None
    """End after so many validations in a row without a better mean Dice; None: never early."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Log:
    """What is written down besides the journal."""

    tensorboard: bool = False
    """Also write event files for TensorBoard (needs the package tensorboard)."""
    cosine_every: Whole = 0
    """Steps between two measurements of the angles between the gradients of the tasks; 0: never. Costs a backward
    pass for each task."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Evaluation:
    """How a model is scored."""

    convention: str = "hga"
    """What empty structures score: hga, brats, diagonal, exclude."""
    hd95: Literal["pooled", "maximum"] = "pooled"
    """Percentile of the distances of both directions together (published), or the larger of those of each (MONAI)."""
    overlap: Rate = 0.5
    """Overlap of neighbouring windows."""
    checkpoint: Literal["best", "last"] = "last"
    """Which checkpoint of a run is used: of the last epoch (published), or the best in validation."""
    extras: tuple[Literal["surface_dice", "volume_error", "lesions", "calibration"], ...] = ()
    """Further scores: surface Dice, volume in ml, lesions found and missed, expected calibration error."""
    tolerance: Positive = 1.0
    """Of the surface Dice, in mm."""
    unpaired: Literal["stop", "skip"] = "stop"
    """What a mask without partner does where folders of masks are scored: be an error, or be left out."""
    latex: bool = False
    """Also write the table as LaTeX, metrics.tex."""
    workers: Count | None = None
    """Threads that compute scores; None: one for each core that this process may use."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Prediction:
    """What ``hga predict`` does besides; the overlap of windows and the checkpoint are those of ``evaluation``."""

    blending: Literal["constant", "gaussian"] = "constant"
    """Weight inside a window: equal (HGA), or less towards its border."""
    flips: bool = False
    """Average over all mirrored versions of each window: 8 times the work in 3D, 4 times in 2D."""
    probabilities: bool = False
    """Also write the probability of each class, as a 4D file."""
    uncertainty: bool = False
    """Also write two maps from 0 (sure) to 1: entropy, and how much the modalities alone contradict each other."""
    overlay: bool = False
    """Also write a PNG: slices of the first modality with outlines of the regions."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config:
    """All settings. Each command reads its own sections."""

    seed: Seed = 1037
    """Seed of training: weights, order, patches, augmentation."""
    preprocess: Preprocess = Field(default_factory=Preprocess)
    split: Split = Field(default_factory=Split)
    imbalance: Imbalance = Field(default_factory=Imbalance)
    data: Data = Field(default_factory=Data)
    augmentation: Augmentation = Field(default_factory=Augmentation)
    network: Network = Field(default_factory=Network)
    method: Method = Field(default_factory=Method)
    optim: Optim = Field(default_factory=Optim)
    validation: Validation = Field(default_factory=Validation)
    log: Log = Field(default_factory=Log)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    prediction: Prediction = Field(default_factory=Prediction)
