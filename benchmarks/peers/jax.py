"""JAX with optax: what somebody would write who chose JAX for speed."""

import importlib
from typing import Any

from torch import Tensor

from benchmarks.child import Work
from benchmarks.problems import META_LR, PROBLEMS

_JAX: Any = importlib.import_module("jax")
_NP: Any = importlib.import_module("jax.numpy")
_OPTAX: Any = importlib.import_module("optax")


def maml(problem: str, tasks: int, steps: int = 1, scanned: int = 0) -> Work:
    """MAML of a multilayer perceptron: vmap over tasks, the optimizer inside of jit.

    Args:
        problem: With a perceptron.
        tasks: In a meta-batch.
        steps: Inner ones.
        scanned: Meta-steps in one call by `lax.scan`, each with meta-batches of its own; 0: one, without.
    """
    found = PROBLEMS[problem]
    params = {k: _NP.asarray(v.numpy()) for k, v in found.params().items()}
    names = list(params)
    layers = [(names[i], names[i + 1]) for i in range(0, len(names), 2)]
    (x, y, *_), (query, answers, *_) = found.episodes(tasks)
    assert isinstance(x, Tensor) and isinstance(query, Tensor)
    batches = tuple(_NP.asarray(part.numpy()) for part in (x, y, query, answers))
    adam = _OPTAX.adam(META_LR)

    def loss(weights: Any, x: Any, y: Any) -> Any:
        for weight, bias in layers[:-1]:
            x = _JAX.nn.relu(x @ weights[weight].T + weights[bias])
        weight, bias = layers[-1]
        return _NP.mean((x @ weights[weight].T + weights[bias] - y) ** 2)

    def task(weights: Any, x: Any, y: Any, query: Any, answers: Any) -> Any:
        for _ in range(steps):
            slope = _JAX.grad(loss)(weights, x, y)
            weights = _JAX.tree.map(lambda w, g: w - found.inner_lr * g, weights, slope)
        return loss(weights, query, answers)

    def total(weights: Any, batch: Any) -> Any:
        return _NP.mean(_JAX.vmap(task, in_axes=(None, 0, 0, 0, 0))(weights, *batch))

    def step(state: Any, batch: Any) -> Any:
        weights, moments = state
        value, slope = _JAX.value_and_grad(total)(weights, batch)
        updates, moments = adam.update(slope, moments)
        return (_OPTAX.apply_updates(weights, updates), moments), value

    state: Any = (params, adam.init(params))
    if scanned:
        compiled = _JAX.jit(lambda state, many: _JAX.lax.scan(step, state, many), donate_argnums=0)
        ready: Any = tuple(_NP.stack([part] * scanned) for part in batches)
    else:
        compiled, ready = _JAX.jit(step, donate_argnums=0), batches

    def run() -> float:
        nonlocal state
        state, value = compiled(state, ready)
        return float(value[0] if scanned else value)

    return Work(run=run, steps=max(1, scanned))


def unroll(problems: int, length: int) -> Work:
    """A learned optimizer's meta-step; the numbers are those of `benchmarks.workloads.unroll`."""
    from benchmarks.workloads.unroll import HIDDEN, cells, quadratics

    matrices, targets, start = (_NP.asarray(t.numpy()) for t in quadratics(problems))
    params = [{k: _NP.asarray(v.numpy()) for k, v in cell.items()} for cell in cells()]
    adam = _OPTAX.adam(META_LR)

    def lstm(p: Any, x: Any, state: Any) -> Any:
        h, c = state
        gates = x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]
        i, f, g, o = _NP.split(gates, 4, -1)
        c = _JAX.nn.sigmoid(f) * c + _JAX.nn.sigmoid(i) * _NP.tanh(g)
        return _JAX.nn.sigmoid(o) * _NP.tanh(c), c

    def value(theta: Any) -> Any:
        residual = _NP.einsum("pij,pj->pi", matrices, theta) - targets
        return (residual**2).sum(-1)

    def total(p: Any) -> Any:
        def inner(carry: Any, _: Any) -> Any:
            theta, states = carry
            # The optimizer sees the gradient as a number: second derivatives are dropped (Andrychowicz et al. 2016).
            slope = _JAX.lax.stop_gradient(_JAX.grad(lambda t: value(t).sum())(theta))
            x, after = slope.reshape(-1, 1), []
            for cell, state in zip(p[:2], states, strict=True):
                x, c = lstm(cell, x, state)
                after.append((x, c))
            theta = theta + 0.1 * (x @ p[2]["weight"].T + p[2]["bias"]).reshape(theta.shape)
            return (theta, after), value(theta).mean()

        zeros = _NP.zeros((start.size, HIDDEN))
        _, values = _JAX.lax.scan(inner, (start, [(zeros, zeros)] * 2), None, length=length)
        return values.sum()

    @_JAX.jit
    def step(p: Any, moments: Any) -> Any:
        found, slope = _JAX.value_and_grad(total)(p)
        updates, moments = adam.update(slope, moments)
        return _OPTAX.apply_updates(p, updates), moments, found

    state: Any = (params, adam.init(params))

    def run() -> float:
        nonlocal state
        p, moments, found = step(*state)
        state = (p, moments)
        return float(found)

    return Work(run=run)
