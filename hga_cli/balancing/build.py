"""From settings to a balancer."""

from hga_cli.balancing.balancer import Balancer
from hga_cli.core.catalog import BALANCERS
from hga_cli.core.errors import ConfigError
from hga_cli.core.options import check_options
from hga_cli.core.settings import Config
from hga_cli.networks.backbone import Backbone

ELSEWHERE = ("tasks", "shared", "own")
"""Arguments of balancers that come from the network, not from ``optim.balancer_options``."""


def build_balancer(config: Config, model: Backbone, *, tasks: tuple[str, ...], has_modalities: bool) -> Balancer:
    """Return the balancer that the settings name.

    Args:
        config: ``optim`` names it and its options.
        model: whose gradients are merged.
        tasks: all there can be, ``fused`` first, then the modalities.
        has_modalities: whether the method looks at predictions of each modality, not only at the fused one.

    Raises:
        ConfigError: an unknown name or option, or a balancer that makes no sense with this method or network.
    """
    name, optim = config.optim.balancer, config.optim
    kind = BALANCERS.load(name)
    check_options("balancer", name, kind, optim.balancer_options, given=ELSEWHERE)
    shared = list(model.shared_parameters())
    known = {id(parameter) for parameter in shared}
    own = [parameter for parameter in model.parameters() if id(parameter) not in known]
    if not has_modalities and not kind.alone:
        message = f"balancer '{name}' has nothing to balance: method '{config.method.name}' looks at no modality alone"
        raise ConfigError(message, hint="--set method.terms.separate.weight=1, or --balancer equal")
    if kind.touches_own and not own:
        backbone = config.network.backbone
        message = f"balancer '{name}' acts on parameters of single modalities, and backbone '{backbone}' has none"
        raise ConfigError(message, hint="another balancer, or --backbone unet")
    if kind.whole_batch and optim.accumulate > 1:
        message = f"balancer '{name}' needs a whole batch at once, and optim.accumulate is {optim.accumulate}"
        raise ConfigError(message, hint="--set optim.accumulate=1 and a smaller data.batch, or another balancer")
    built: Balancer = kind(tasks, shared, own, **optim.balancer_options)
    return built
