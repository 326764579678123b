"""RESULTS.md, drawn from results.json: what was to be shown, then every contender of every workload."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.claim import Claim, Workload
from benchmarks.machine import BUSY
from benchmarks.results import Row, Spread
from innerloop.core.interval import SHARES, difference, interval

PLACE = Path(__file__).with_name("RESULTS.md")
_APART = 0.01
"""Relative difference of first losses above which two contenders do not do the same."""
_HEAD = """# Results

Drawn by `python -m benchmarks` from `results.json`; what the workloads are, and how to read this, is in
[README.md](README.md). Ratios are medians over rounds of the same run, [min to max]; more than 1 is faster than the
peer. Where other processes used more than {busy:.0%} of the machine, a row says so: quote no ratio from it.
"""


def write(rows: dict[str, Row], workloads: tuple[Workload, ...], place: Path = PLACE) -> None:
    known = [(workload, row) for workload in workloads if (row := rows.get(workload.name, {})).get("contenders")]
    taken = [(workload, row) for workload in workloads if (row := rows.get(workload.name, {}).get("busy"))]
    lines = [_HEAD.format(busy=BUSY), "## What it must show", "", *_claims(known), "", *_plans(known)]
    if taken:
        lines += ["", "## The same with one core taken by another process", "", *_claims(taken)]
    for workload, row in known:
        lines += ["", *_section(workload, row)]
    for workload, row in taken:
        lines += ["", *_section(workload, row, "with one core taken")]
    place.write_text("\n".join(lines).rstrip() + "\n")


def _claims(known: list[tuple[Workload, Row]]) -> Iterator[str]:
    yield "| work | against | ratio | ours | theirs | best plan of ours | at least | aim | reached |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for workload, row in known:
        busy = " (busy machine)" if (row["elsewhere"] or 0) > BUSY else ""
        for claim in workload.claims:
            yield f"| {workload.name}{busy} | {claim.said} | {' | '.join(_cells(workload, row, claim))} |"


def _cells(workload: Workload, row: Row, claim: Claim) -> list[str]:
    mark = {"faster": "", "time": "at most ", "memory": "at most "}[claim.what]
    bounds = [f"{mark}{bound:g}x" if bound is not None else "" for bound in (claim.least, claim.aim)]
    found = results.ratio(row, workload, claim)
    if found is None:
        why = claim.missing or _why(row, (claim.ours, *claim.others), workload)
        return [why, "", "", "", *bounds, ""]
    low, middle, high = found.found
    told = f"{middle:.2f}x" + (f" [{low:.2f} to {high:.2f}]" if claim.what != "memory" else "")
    sides = [_measure(workload, row, name, claim) for name in (found.ours, found.theirs)]
    other = results.best(row, claim.alternatives, workload.target)
    better = results.ratio(row, workload, claim, other) if other else None
    beside = f"{other}: {better.found.middle:.2f}x" if better else ""
    return [told, *sides, beside, *bounds, results.reached(claim, found.found)]


def _measure(workload: Workload, row: Row, name: str, claim: Claim) -> str:
    facts = row["contenders"][name]
    if claim.what == "memory":
        return f"{facts['peak'] / 1e6:,.0f} MB ({name})"
    spread = results.speed(row, name, workload.target)
    assert spread is not None
    plan = f": {facts['said']}" if facts["said"] else ""
    return f"{_amount(spread.middle, workload.unit)} ({name}{plan})"


def _why(row: Row, names: tuple[str, ...], workload: Workload) -> str:
    """Why a claim has no ratio."""
    for name in names:
        facts = row["contenders"].get(name)
        if facts is None:
            return f"not measured: {name}"
        if "error" in facts:
            return f"{name}: {facts['error']}"
        if workload.target is not None and results.speed(row, name, workload.target) is None:
            return f"{name} did not reach {workload.target:.0%}: best {max(facts['values']):.1%}"
    return "not measured"


def _plans(known: list[tuple[Workload, Row]]) -> Iterator[str]:
    """Our plans beside each other, as times the loop under the same allocator."""
    found: dict[str, dict[str, float]] = {}
    for workload, row in known:
        for facts in row["contenders"].values():
            if facts["plan"] == "loop" and facts.get("seconds"):
                base, allocator = Spread.of(facts["seconds"]).middle, facts["allocator"]
                found.setdefault(f"{workload.name} ({allocator})", {}).update(_speedups(row, base, allocator))
    columns = list(dict.fromkeys(plan for speeds in found.values() for plan in speeds))
    if not columns:
        return
    yield "## The engine's plans, as times the loop"
    yield ""
    yield f"| workload (allocator) | {' | '.join(columns)} |"
    yield f"| --- |{' --- |' * len(columns)}"
    for name, speeds in found.items():
        yield f"| {name} | {' | '.join(f'{speeds[c]:.2f}x' if c in speeds else '' for c in columns)} |"


def _speedups(row: Row, base: float, allocator: str) -> dict[str, float]:
    return {
        facts["plan"]: base / Spread.of(facts["seconds"]).middle
        for facts in row["contenders"].values()
        if facts["plan"] and facts["allocator"] == allocator and facts["threads"] is None and facts.get("seconds")
    }


def _section(workload: Workload, row: Row, how: str = "") -> Iterator[str]:
    yield f"## {workload.name}: {workload.title}{', ' * bool(how)}{how}"
    yield ""
    about: dict[str, str] = row["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in about.items() if k not in ("processor", "cores"))
    yield f"{row['date']}, {about['processor']}, {about['cores']} cores; {versions}; `{row['command']}`."
    share = row["elsewhere"]
    if share is None:
        yield "How busy the machine was otherwise is not known."
    elif share > BUSY:
        yield f"**Other processes used {share:.0%} of the processor meanwhile: quote none of these ratios.**"
    else:
        again = row.get("redrawn", 0)
        said = f"; {again} round{'s' * (again != 1)} in which they used more were drawn again" if again else ""
        yield f"Other processes used {share:.0%} of the processor meanwhile{said}."
    if row["flops"]:
        peak = f"{row['sgemm'] / 1e9:,.0f} GFLOP/s"
        yield f"A step is {row['flops'] / 1e9:,.3g} GFLOP; sgemm on all cores reaches {peak}."
    if workload.note:
        yield workload.note
    yield ""
    unit = {"ms": "ms a step", "1/s": "a second", "s": "s in all"}[workload.unit]
    yield f"| contender | {unit} | rounds | of sgemm | peak MB | ready in s | remarks |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    names = list(row["contenders"])
    for name in sorted(names, key=lambda n: spread.middle if (spread := results.speed(row, n)) else float("inf")):
        yield f"| {name} | {' | '.join(_facts(workload, row, row['contenders'][name]))} |"


def _facts(workload: Workload, row: Row, facts: dict[str, Any]) -> list[str]:
    if not facts.get("seconds"):
        return ["", "", "", "", "", f"failed: {facts.get('error', 'no turn')}"]
    spread = Spread.of(facts["seconds"])
    if workload.unit == "s":
        told = f"{sum(facts['seconds']):.1f}"
    else:
        low, middle, high = (_amount(seconds, workload.unit) for seconds in spread)
        told = f"{middle} [{low} to {high}]"
    share = f"{row['flops'] / spread.middle / row['sgemm']:.1%}" if row["flops"] else ""
    peak = f"{facts['peak'] / 1e6:,.0f}" if facts.get("peak") else ""
    return [told, str(len(facts["seconds"])), share, peak, f"{facts['ready']:.1f}", _remarks(workload, row, facts)]


def _remarks(workload: Workload, row: Row, facts: dict[str, Any]) -> str:
    said = [facts["said"]] if facts["said"] else []
    said += [f"failed later: {facts['error']}"] if "error" in facts else []
    value, losses = facts.get("value"), [f["value"] for f in row["contenders"].values() if f.get("value") is not None]
    if workload.same and value is not None and abs(value - losses[0]) > _APART * abs(losses[0]):
        said.append(f"another loss: {value:.4g}, not {losses[0]:.4g}")
    if workload.target is not None and facts["values"]:
        said.append(f"at last {facts['values'][-1]:.1%}")
    scores = facts.get("extras", {}).get("scores")
    if scores:
        said.append(_accuracy(row, scores))
    return "; ".join(said)


def _accuracy(row: Row, scores: list[float]) -> str:
    """Of a contender, with its difference to the first one, episode by episode."""
    first = next(f["extras"]["scores"] for f in row["contenders"].values() if f.get("extras", {}).get("scores"))
    mean, half = interval(scores, SHARES)
    apart, around = difference(scores, first)
    paired = f", paired difference {apart:+.2%} ± {around:.2%}" if scores is not first else ""
    return f"accuracy {mean:.2%} ± {half:.2%} (95% CI, {len(scores)} episodes){paired}"


def _amount(seconds: float, unit: str) -> str:
    if unit == "1/s":
        return f"{1 / seconds:,.0f}/s"
    if unit == "s":
        return f"{seconds:,.1f} s"
    digits = 3 if seconds < 0.01 else 1 if seconds < 0.1 else 0
    return f"{1e3 * seconds:,.{digits}f}"
