"""From settings to a balancer."""

from hga_cli.balancing.balancer import Balancer
from hga_cli.core.catalog import BALANCERS
from hga_cli.core.errors import ConfigError
from hga_cli.core.options import check_options
from hga_cli.core.settings import Config
from hga_cli.networks.backbone import Backbone

ELSEWHERE = ("tasks", "shared", "own")
"""Arguments of balancers that come from the network, not from ``optim.balancer_options``."""


def build_balancer(
    config: Config, model: Backbone, *, tasks: tuple[str, ...], has_modalities: bool, predicts_alone: bool
) -> Balancer:
    """Return the balancer that the settings name.

    Args:
        config: ``optim`` names it and its options.
        model: whose gradients are merged.
        tasks: all there can be, ``fused`` first, then the modalities.
        has_modalities: whether the method has losses of each modality, not only of the fused prediction.
        predicts_alone: whether it has predictions of each modality alone.

    Raises:
        ConfigError: an unknown name or option, or a balancer that makes no sense with this method, network or length of
            training.
    """
    name, optim = config.optim.balancer, config.optim
    kind = BALANCERS.load(name)
    check_options("balancer", name, kind, optim.balancer_options, given=ELSEWHERE)
    shared = list(model.shared_parameters())
    known = {id(parameter) for parameter in shared}
    own = [parameter for parameter in model.parameters() if id(parameter) not in known]
    if not kind.alone and not (predicts_alone if kind.compares else has_modalities):
        what = "compare" if kind.compares else "balance"
        message = f"balancer '{name}' has nothing to {what}: method '{config.method.name}' looks at no modality alone"
        raise ConfigError(message, hint="--set method.terms.separate.weight=1, or --balancer equal")
    if kind.touches_own and not own:
        backbone, options = config.network.backbone, config.network.options
        message = f"balancer '{name}' acts on parameters of single modalities, and backbone '{backbone}' has none"
        cure = "--set network.options.own_norms=true" if "own_norms" in options else "--backbone unet"
        raise ConfigError(message, hint=f"{cure}, or another balancer")
    if kind.moves_weights and (outer := config.method.outer.kind) != "none":
        message = f"balancer '{name}' moves weights between steps, and method.outer.kind {outer} would take that back"
        raise ConfigError(message, hint="--set method.outer.kind=none, or another balancer")
    if kind.whole_batch and optim.accumulate > 1:
        message = f"balancer '{name}' needs a whole batch at once, and optim.accumulate is {optim.accumulate}"
        raise ConfigError(message, hint="--set optim.accumulate=1 and a smaller data.batch, or another balancer")
    built: Balancer = kind(tasks, shared, own, **optim.balancer_options)
    built.require_time(optim.epochs)
    return built
