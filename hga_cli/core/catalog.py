"""The tables of what can be chosen by name. Single source of truth for help, listings and checks.

A table imports nothing until an entry is loaded, so the command line can list and check names without torch. Adding
a term, sampler, outer update or balancer means one file and one line here; backbones have theirs in
``core/backbones.py``.
"""

from importlib.resources import files
from importlib.resources.abc import Traversable

from hga_cli.core.backbones import HGA, SHASPEC
from hga_cli.core.registry import Entry, Registry

PASSION = "Shi et al., PASSION, ACM Multimedia 2024"
PMR = "Fan et al., PMR: Prototypical Modal Rebalance for Multimodal Learning, CVPR 2023"
MAML = "Finn et al., Model-Agnostic Meta-Learning, ICML 2017, first order"

SAMPLERS = Registry(
    "sampler",
    [
        Entry(
            name="case",
            target="hga_cli.data.sampling:CaseSampler",
            summary="every case once per pass, with all it has",
            source="usual practice",
        ),
        Entry(
            name="cycle",
            target="hga_cli.alignment.cycle:CycleSampler",
            summary="cycles over the combinations; a batch comes from the cases that own the combination",
            source=HGA,
        ),
        Entry(
            name="dropout",
            target="hga_cli.data.dropout:DropoutSampler",
            summary="every case once per pass, with a sub-combination of what it has, drawn at each visit",
            source="modality dropout, usual practice",
        ),
        Entry(
            name="meta",
            target="hga_cli.alignment.meta:MetaSampler",
            summary="in turn a batch of cases with what they have, and one case with all modalities",
            source=MAML,
        ),
        Entry(
            name="meta_drop",
            target="hga_cli.alignment.meta:MetaDropSampler",
            summary="as meta, but a case shows a sub-combination of what it has, drawn at each visit",
            source=MAML,
        ),
        Entry(
            name="rarity",
            target="hga_cli.alignment.rarity:RaritySampler",
            summary="a combination that a case has, more often the rarer its rarest modality; cases that own it",
            source="ours; the chances are the frequency weights of PASSION",
        ),
    ],
)

TERMS = Registry(
    "term",
    [
        Entry(
            name="compactness",
            target="hga_cli.alignment.prototype_terms:Compactness",
            summary="each modality's features gather around the prototypes of their classes",
            source=HGA,
        ),
        Entry(
            name="deep",
            target="hga_cli.alignment.supervision:DeepSupervision",
            summary="segmentation loss of the fused prediction at coarser scales",
            source=PASSION,
        ),
        Entry(
            name="distillation",
            target="hga_cli.alignment.distillation:PixelDistillation",
            summary="each modality alone learns from the fused prediction, voxel by voxel",
            source=PASSION,
        ),
        Entry(
            name="features",
            target="hga_cli.alignment.features:FeatureDistillation",
            summary="each modality's feature comes near to the fused one; options kind (mse, l1), deepest",
            source="He et al., Modality-Agnostic Learning (MAG-MS), 2023",
        ),
        Entry(
            name="fused",
            target="hga_cli.alignment.supervision:FusedSegmentation",
            summary="segmentation loss of the fused prediction",
            source=PASSION,
        ),
        Entry(
            name="group",
            target="hga_cli.alignment.group:GroupSupport",
            summary="modalities learn from what their group agrees on, voxel by voxel; option leader",
            source="Qiu et al., Scratch Each Other's Back (GSS), ICCV 2023",
        ),
        Entry(
            name="part",
            target="hga_cli.alignment.supervision:PartSegmentation",
            summary="segmentation loss of what a fusion decoder makes of some of the modalities, drawn at each step",
            source="ours: modality dropout after the encoders",
        ),
        Entry(
            name="pmr",
            target="hga_cli.alignment.pmr:PrototypicalRebalance",
            summary="modalities behind the others gather around prototypes, those ahead stay unsure; option entropy",
            source=PMR,
        ),
        Entry(
            name="separate",
            target="hga_cli.alignment.supervision:ModalitySegmentation",
            summary="segmentation loss of each modality on its own",
            source=PASSION,
        ),
        Entry(
            name="shared",
            target="hga_cli.alignment.shaspec:SharedDistance",
            summary="shared features of modalities that follow each other are alike (ShaSpec only)",
            source=SHASPEC,
        ),
        Entry(
            name="similarity",
            target="hga_cli.alignment.prototype_terms:Similarity",
            summary="each modality's similarity to its prototypes follows the fused one",
            source=PASSION,
        ),
        Entry(
            name="specific",
            target="hga_cli.alignment.shaspec:Recognition",
            summary="each modality is known by its specific feature (ShaSpec only)",
            source=SHASPEC,
        ),
    ],
)

OUTER_UPDATES = Registry(
    "outer update",
    [
        Entry(
            name="interpolation",
            target="hga_cli.alignment.interpolation:Interpolation",
            summary="after each cycle the weights are interpolated with the slow weights",
            source=HGA,
        ),
        Entry(
            name="meta",
            target="hga_cli.alignment.meta:MetaUpdate",
            summary="a trial step on what cases have; the gradient of a complete case after it moves the weights",
            source=MAML,
        ),
        Entry(
            name="none",
            target="hga_cli.alignment.outer_update:OuterUpdate",
            summary="plain training",
            source="usual practice",
        ),
    ],
)

BALANCERS = Registry(
    "balancer",
    [
        Entry(
            name="agm",
            target="hga_cli.balancing.agm:AdaptiveGradientModulation",
            summary="losses of modalities weigh less, the more they get ahead of the others",
            source="Li et al., Adaptive Gradient Modulation, ICCV 2023",
        ),
        Entry(
            name="aligned_mtl",
            target="hga_cli.balancing.from_torchjd:AlignedMTL",
            summary="principal components of the gradients made equally long; option scale (min, median, rmse)",
            source="Senushkin et al., Independent Component Alignment, CVPR 2023",
        ),
        Entry(
            name="bml",
            target="hga_cli.balancing.bml:BalancedLearning",
            summary="the slowest modality learns alone now and then; options every, window, tolerance",
            source="Wu et al., Greedy Nature of Learning in Multi-modal Networks, ICML 2022",
        ),
        Entry(
            name="cagrad",
            target="hga_cli.balancing.solved:CAGrad",
            summary="near the mean gradient, the direction that helps the worst task most; option c",
            source="Liu et al., Conflict-Averse Gradient Descent, NeurIPS 2021",
        ),
        Entry(
            name="dre",
            target="hga_cli.balancing.dre:DiagnoseAndRelearn",
            summary="modalities that fit cases held back worse are partly reset; options every, folds, strength",
            source="Wei et al., Diagnosing and Re-learning, ECCV 2024",
        ),
        Entry(
            name="dwa",
            target="hga_cli.balancing.dwa:DynamicWeightAverage",
            summary="losses that fall slowly from epoch to epoch weigh more; option temperature",
            source="Liu et al., End-to-End Multi-Task Learning with Attention, CVPR 2019",
        ),
        Entry(
            name="equal",
            target="hga_cli.balancing.equal:Equal",
            summary="the sum of all losses",
            source="usual practice",
        ),
        Entry(
            name="famo",
            target="hga_cli.balancing.famo:FAMO",
            summary="losses fall at the same pace, judged by one more pass after each step; options rate, decay",
            source="Liu et al., Fast Adaptive Multitask Optimization, NeurIPS 2023",
        ),
        Entry(
            name="gmd",
            target="hga_cli.balancing.gmd:GradientGuidedDecoupling",
            summary="gradients projected off those they conflict with, mean; option clamp",
            source="Wang et al., Gradient-guided Modality Decoupling, AAAI 2024",
        ),
        Entry(
            name="graddrop",
            target="hga_cli.balancing.from_torchjd:GradDrop",
            summary="each element of the gradient keeps one sign, drawn by how pure it is",
            source="Chen et al., Just Pick a Sign, NeurIPS 2020",
        ),
        Entry(
            name="gradnorm",
            target="hga_cli.balancing.gradnorm:GradNorm",
            summary="learned weights let lengths of gradients follow the pace of tasks; options alpha, speed",
            source="Chen et al., GradNorm, ICML 2018",
        ),
        Entry(
            name="gradvac",
            target="hga_cli.balancing.from_torchjd:GradVac",
            summary="gradients turned until the cosine of each pair is what is usual for it; option beta",
            source="Wang et al., Gradient Vaccine, ICLR 2021",
        ),
        Entry(
            name="imtl_g",
            target="hga_cli.balancing.from_torchjd:ImpartialGradients",
            summary="the combination with equal projections on all gradients",
            source="Liu et al., Towards Impartial Multi-task Learning, ICLR 2021",
        ),
        Entry(
            name="mgda",
            target="hga_cli.balancing.solved:MGDA",
            summary="the shortest combination of the gradients",
            source="Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018",
        ),
        Entry(
            name="nashmtl",
            target="hga_cli.balancing.solved:NashMTL",
            summary="the combination that tasks agree on in a bargain",
            source="Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022",
        ),
        Entry(
            name="ogm_ge",
            target="hga_cli.balancing.ogm_ge:OnTheFlyModulation",
            summary="parameters of modalities that are ahead learn less, with noise; options alpha, noise",
            source="Peng et al., On-the-fly Gradient Modulation, CVPR 2022",
        ),
        Entry(
            name="pcgrad",
            target="hga_cli.balancing.from_torchjd:PCGrad",
            summary="gradients projected off those they conflict with, sum",
            source="Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020",
        ),
        Entry(
            name="random",
            target="hga_cli.balancing.random_weights:RandomWeights",
            summary="weights of losses drawn in each step",
            source="Lin et al., Reasonable Effectiveness of Random Weighting, TMLR 2022",
        ),
        Entry(
            name="uncertainty",
            target="hga_cli.balancing.uncertainty:Uncertainty",
            summary="losses divided by variances that are learned; option speed",
            source="Kendall et al., Multi-Task Learning Using Uncertainty, CVPR 2018",
        ),
        Entry(
            name="upgrad",
            target="hga_cli.balancing.solved:UPGrad",
            summary="gradients projected onto the directions that conflict with none, mean",
            source="Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024",
        ),
    ],
)


def shipped(folder: str) -> dict[str, Traversable]:
    """Return the TOML files shipped in a folder of the package, by name, for example ``presets/methods``."""
    root = files("hga_cli").joinpath(folder)
    found = {file.name.removesuffix(".toml"): file for file in root.iterdir() if file.name.endswith(".toml")}
    return dict(sorted(found.items()))
