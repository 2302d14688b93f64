"""The tables of the evidence, as Markdown."""

from figures import FIGURES, Scores, is_clear

from hga_cli.core.atomic import write_text

BASELINES = ("joint", "cycle")
SUMMARY = ("joint-complete", "joint", "cycle", "hga-published", "hga")
HEAD = [
    "run",
    *FIGURES,
    *(f"{figure} minus {name}" for name in BASELINES for figure in FIGURES[:2]),
    "step / joint",
    "seeds",
]
FOOT = (
    "Dice in %, mean over regions. all: mean over all combinations; rarest: over those with the modality that most "
    "training cases lack; worst: of the worst combination; +-: standard deviation over seeds. Differences: mean over "
    "the test cases, paired, with the 95 % interval of a bootstrap over cases; bold: the interval excludes 0 and the "
    "difference is larger than the spread over seeds of both. step / joint: time of a step over that of joint, in turn."
)


def write_tables(work, costs):
    """Write ``tables.md`` and return its text; runs that are not scored yet are left out.

    Args:
        work: where everything is.
        costs: regime -> run -> seconds of a step.
    """
    of_regime = {
        regime: {name: found for name in work.plan["runs"] if (found := scores_of(work, regime, name))}
        for regime in work.plan["regimes"]
    }
    parts = [*_summary(work.plan, of_regime, costs), ""]
    for regime, scores in of_regime.items():
        for equal in ("steps", "time"):
            names = [name for name in scores if equal in work.plan["runs"][name].get("equal", ["steps"])]
            if any(_baseline_of(name) for name in names) and len(names) > 1:
                title = f"### {regime}: {_who(work.plan['regimes'][regime])}, equal {equal}"
                parts += [title, "", *_lines([HEAD, *(_row(name, names, scores, costs[regime]) for name in names)]), ""]
    text = "\n".join([*parts, FOOT, ""])
    write_text(work.folder / "tables.md", text)
    return text


def _summary(plan, of_regime, costs):
    """Return the lines of the table that is read first: ``all / rarest / worst`` of some runs, and what hga gains."""
    rows = [["regime", *SUMMARY, *(f"hga minus {name}" for name in BASELINES), "step, hga / joint"]]
    for regime, scores in of_regime.items():
        cells = [
            " / ".join(f"{value:.1f}" for value in scores[name].figures().values()) if name in scores else ""
            for name in SUMMARY
        ]
        gains = [
            ", ".join(_differences(scores["hga"], scores[name])) if {"hga", name} <= scores.keys() else ""
            for name in BASELINES
        ]
        rows.append([f"{regime}: {_who(plan['regimes'][regime])}", *cells, *gains, _cost(costs[regime], "hga")])
    return _lines(rows)


def _cost(costs, name):
    return f"{costs[name] / costs['joint']:.2f}" if {name, "joint"} <= costs.keys() else ""


def scores_of(work, regime, name):
    """Return the scores of a run in a regime, or None where nothing is scored."""
    method, place = work.plan["runs"][name]["method"], trained_in(work.plan, regime, name)
    seeds = [
        [folder for fold in folds(work.plan) for folder in _folders(work, f"{place}-{fold}.{name}-{method}-", seed)]
        for seed in work.plan["seeds"]
    ]
    whole = [tuple(of_seed) for of_seed in seeds if len(of_seed) == len(folds(work.plan))]
    rates = work.plan["regimes"][regime]["rates"]
    rarest = frozenset(modality for modality, rate in rates.items() if rate == max(rates.values()))
    return Scores(tuple(whole), rarest) if whole else None


def trained_in(plan, regime, name):
    """Return where a run of a table was trained: with complete data, all regimes of the same cases have one."""
    run, regimes = plan["runs"][name], plan["regimes"]
    places = run.get("regimes", list(regimes))
    if regime in places or not run.get("complete"):
        return regime
    same = (other for other in places if _cases_and_network(regimes[other]) == _cases_and_network(regimes[regime]))
    return next(same, regime)


def _cases_and_network(regime):
    return regime.get("train"), regime.get("settings")


def folds(plan):
    """Return the numbers of the folds; phantoms have one."""
    return range(1, plan["cohort"].get("folds", 1) + 1)


def _folders(work, start, seed):
    """Return the scored runs called so; ``joint-`` begins names of other runs too, ``joint-joint-equal-`` does not."""
    return [path.parent for path in work.runs.glob(f"{start}equal-*-s{seed}-*/metrics.json")]


def _who(facts):
    lacking = ", ".join(f"{modality} {rate:g}" for modality, rate in facts["rates"].items())
    return f"{facts.get('train', 'all')} training cases, missing {lacking}"


def _lines(rows):
    """Return a Markdown table; the first row is its head."""
    head, *body = rows
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]


def _row(name, names, scores, costs):
    one = scores[name]
    spread = one.spread()
    cells = [f"{value:.1f} +- {spread[figure]:.1f}" for figure, value in one.figures().items()]
    for baseline in BASELINES:
        against = next((other for other in names if _baseline_of(other) == baseline), None)
        cells += _differences(one, scores[against]) if against and against != name else ["", ""]
    return [name, *cells, _cost(costs, name), str(len(one.folders))]


def _baseline_of(name):
    """Return which baseline a run is, also one that was trained longer; None for the others."""
    return next((baseline for baseline in BASELINES if name in (baseline, f"{baseline}-longer")), None)


def _differences(one, other):
    found, spreads = one.difference(other), (one.spread(), other.spread())
    texts = {name: f"{value:+.1f} ({low:+.1f} to {high:+.1f})" for name, (value, low, high) in found.items()}
    clear = {name for name in FIGURES if is_clear(found[name], *(spread[name] for spread in spreads))}
    return [f"**{texts[name]}**" if name in clear else texts[name] for name in FIGURES[:2]]
