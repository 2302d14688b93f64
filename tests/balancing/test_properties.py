"""What every balancer keeps to, whoever published it."""

import pytest
import torch
from _tasks import EVERY, NAMES, PER_TASK, Problem, same, same_state

from hga_cli.core.catalog import BALANCERS
from hga_cli.core.errors import ConfigError

every = pytest.mark.parametrize("name", EVERY)
SUMS = {"equal", "agm", "bml", "dre", "dwa", "gradnorm", "gradvac", "graddrop", "ogm_ge", "pcgrad"}
"""Their first step is the sum where no gradients conflict."""
MEANS = {"gmd", "upgrad"}
CHANGES_OWN = {"famo", "ogm_ge", "random", "uncertainty"}
"""Their first step changes parameters of modalities too; others that weigh losses start from weights of 1."""
NOT_LINEAR = {"famo", "gradnorm", "uncertainty"}
"""What they learn depends on the size of losses, as published."""


@every
def test_the_order_in_which_tasks_are_given_does_not_matter(name):
    left, right = Problem(), Problem()
    first, second = left.balancer(name), right.balancer(name)
    for seed in range(3):
        same(left.step(first, order=1, seed=seed), right.step(second, order=-1, seed=seed))
    same_state(first.state(), second.state())


@every
def test_one_task_gives_its_own_gradient(name):
    problem = Problem()
    balancer = problem.balancer(name)
    weight = 0.5 if name == "uncertainty" else 1.0  # of its formula: L exp(-s) / 2
    found, plain = problem.step(balancer, ("fused",)), problem.plain(("fused",))
    same(found, [None if one is None else weight * one for one in plain])


@every
def test_what_no_task_reaches_keeps_none(name):
    problem = Problem()
    found = problem.step(problem.balancer(name), ("fused", "t2"))
    assert [one is None for one in found] == [False, True, True, False, True]


@every
def test_parameters_of_a_modality_get_the_gradient_of_its_own_tasks(name):
    problem = Problem()
    found, plain = problem.step(problem.balancer(name)), problem.plain()
    if name in CHANGES_OWN:
        assert not all(torch.allclose(one, other) for one, other in zip(found[1:-1], plain[1:-1], strict=True))
    else:
        same(found[1:], plain[1:])


@pytest.mark.parametrize("name", [one for one in EVERY if one != "random"])
def test_a_task_that_is_never_there_changes_nothing(name):
    """The same steps of a data set that does not have the modality at all (random draws for each task there can be)."""
    few = ("fused", "flair", "t2")
    whole, small = Problem(), Problem(few)
    places = [NAMES.index(task) for task in few]
    small.shared, small.slopes, small.own_slopes = whole.shared, whole.slopes[places], whole.own_slopes[places]
    small.own, small.values = {task: whole.own[task] for task in few[1:]}, {t: whole.values[t] for t in few}
    balancers = whole.balancer(name), small.balancer(name)
    for seed in range(13):
        left = whole.step(balancers[0], few, seed=seed)
        logits = whole.logits(few)
        small.logits = lambda present=None, logits=logits: logits
        right = small.step(balancers[1], few, seed=seed)
        same([left[0], left[1], left[3]], right[:3])


@every
def test_a_state_is_as_good_as_the_balancer(name):
    """Seven steps and an epoch in one go, or resumed in between: equal bit for bit."""
    problem = Problem()
    whole = problem.balancer(name)
    steps = [("fused", "flair"), None, ("fused", "t1ce", "t2"), None, ("fused", "t2"), None, None] * 2
    found = []
    for seed, present in enumerate(steps):
        found.append(problem.step(whole, present, seed=seed))
        if seed in (2, 5):
            whole.end_epoch()
    for cut in (1, 3, 11):
        first, resumed = problem.balancer(name), problem.balancer(name)
        for seed, present in enumerate(steps):
            if seed == cut:
                resumed.load({key: value.clone() for key, value in first.state().items()})
            gradients = problem.step(resumed if seed >= cut else first, present, seed=seed)
            assert all(
                (one is None and other is None) or torch.equal(one, other)
                for one, other in zip(gradients, found[seed], strict=True)
            )
            if seed in (2, 5):
                (resumed if seed >= cut else first).end_epoch()
        same_state(resumed.state(), whole.state())
    assert all(value.dtype == torch.float64 for value in whole.state().values())


@every
def test_a_step_taken_again_is_the_same(name):
    problem = Problem()
    same(problem.step(problem.balancer(name), seed=3), problem.step(problem.balancer(name), seed=3), atol=0, rtol=0)


@pytest.mark.parametrize("name", [one for one in EVERY if one not in ("equal", "dre")])
def test_it_is_not_just_the_sum(name):
    """Some step of twelve differs, with tasks that conflict, losses that change, an epoch every fourth step; dre moves
    weights instead."""
    problem = Problem()
    balancer, differs = problem.balancer(name), False
    for seed in range(12):
        problem.values["t2"] *= 1.1
        found = problem.step(balancer, seed=seed, rate=1e-2)
        differs |= not all(
            torch.allclose(*pair, rtol=1e-3) for pair in zip(found[:-1], problem.plain()[:-1], strict=True)
        )
        if seed % 4 == 3:
            balancer.end_epoch()
    assert differs


@pytest.mark.parametrize("name", ["graddrop", "ogm_ge", "random"])
def test_what_is_drawn_follows_the_seed(name):
    problem = Problem()
    left, right = (problem.step(problem.balancer(name), seed=seed) for seed in (1, 2))
    assert not all(torch.equal(one, other) for one, other in zip(left[:-1], right[:-1], strict=True))


@every
def test_fp16_scales_gradients_and_not_what_is_learnt(name):
    left, right = Problem(), Problem()
    plain, scaled = left.balancer(name), right.balancer(name)
    for seed in range(12):
        first = left.step(plain, seed=seed)
        second = right.step(scaled, seed=seed, fp16=1024.0)
        same(first, [None if one is None else one / 1024 for one in second], rtol=1e-6, atol=1e-9)
    for key, value in plain.state().items():
        torch.testing.assert_close(scaled.state()[key], value, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [one for one in EVERY if not BALANCERS.load(one).whole_batch])
def test_a_batch_in_two_parts_is_the_batch(name):
    left, right = Problem(), Problem()
    whole, parts = left.balancer(name), right.balancer(name)
    for seed in range(12):
        same(left.step(whole, seed=seed), right.step(parts, seed=seed, shares=(0.25, 0.75)), rtol=1e-9, atol=1e-12)
    for key, value in whole.state().items():
        torch.testing.assert_close(parts.state()[key], value)


@pytest.mark.parametrize("name", sorted(set(EVERY) - NOT_LINEAR))
def test_losses_ten_times_as_large_give_gradients_ten_times_as_large(name):
    problem = Problem()
    found, large = problem.step(problem.balancer(name)), problem.step(problem.balancer(name), scale=10.0)
    same([None if one is None else 10 * one for one in found], large, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", sorted(SUMS | MEANS))
def test_without_conflict_it_is_the_sum_or_the_mean(name):
    problem = Problem()
    problem.slopes = torch.eye(4, 6, dtype=torch.float64)
    found, plain = problem.step(problem.balancer(name)), problem.plain()
    torch.testing.assert_close(found[0], plain[0] / (len(NAMES) if name in MEANS else 1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["pcgrad", "gmd", "upgrad", "mgda", "nashmtl", "cagrad"])
def test_two_tasks_that_conflict_are_both_helped(name):
    """The direction has no negative product with either gradient (cagrad: within reach of the mean)."""
    problem = Problem(("fused", "t2"))
    problem.slopes = torch.tensor([[1.0, 0, 0, 0, 0, 0], [-2.0, 1.5, 0, 0, 0, 0]], dtype=torch.float64)
    options = {"c": 0.9} if name == "cagrad" else {}
    direction = problem.step(problem.balancer(name, **options))[0]
    assert (problem.slopes @ direction >= -1e-9).all()
    assert (problem.slopes @ problem.plain()[0]).min() < 0


@pytest.mark.parametrize("name", [one for one in PER_TASK if one != "gradnorm"])
def test_a_zero_gradient_has_no_say(name):
    """A zero row would make MGDA and CAGrad stand still (torchjd), and others shrink. To gradnorm the loss counts."""
    problem, zero = Problem(), Problem()
    zero.slopes[2] = 0
    with_zero = zero.step(zero.balancer(name))[0]
    problem.slopes[2] = 0
    without = problem.step(problem.balancer(name), ("fused", "flair", "t2"))[0]
    torch.testing.assert_close(with_zero, without)
    assert with_zero.norm() > 0


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_teaches_nothing_and_is_seen(name, value):
    problem = Problem()
    balancer = problem.balancer(name)
    problem.step(balancer)
    before = balancer.state()
    problem.slopes[1] = value
    problem.own_slopes[1] = value
    problem.values["flair"] = value
    assert not problem.step(balancer)[0].isfinite().all()
    after = balancer.state()
    assert all(one.isfinite().all() for one in after.values())
    if name not in ("bml", "agm"):
        same_state(before, after)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cagrad", {"c": 0.0}),
        ("gradvac", {"beta": 1.5}),
        ("aligned_mtl", {"scale": "max"}),
        ("dwa", {"temperature": -1.0}),
        ("gradnorm", {"speed": 0.0}),
        ("bml", {"tolerance": 1.0}),
        ("dre", {"every": 0}),
        ("dre", {"folds": 1}),
        ("dre", {"strength": -1.0}),
        ("ogm_ge", {"alpha": float("nan")}),
        ("famo", {"rate": 0.0}),
    ],
)
def test_options_out_of_range_are_refused(name, options):
    with pytest.raises(ConfigError) as caught:
        Problem().balancer(name, **options)
    (option,) = options
    assert name in caught.value.message
    assert option in caught.value.message
    assert caught.value.hint
