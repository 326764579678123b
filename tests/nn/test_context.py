import torch
from torch import nn

from innerloop.nn.context import BiLSTM, LSTMCell


def sequence(n, features=3):
    return torch.randn(n, features, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def doubled(model):
    return {k: v.double() for k, v in model.init(0).items()}


def test_the_cell_is_torchs():
    model = LSTMCell(inputs=4, units=3)
    params = doubled(model)
    native = nn.LSTMCell(4, 3).double()
    given = {"input.weight": "weight_ih", "hidden.weight": "weight_hh", "input.bias": "bias_ih"}
    state = {theirs: params[ours] for ours, theirs in given.items()}
    native.load_state_dict(state | {"bias_hh": torch.zeros(12)})
    x, h, c = sequence(5, 4), sequence(5), sequence(5) + 1
    assert torch.allclose(model.apply(params, {"x": x, "h": h, "c": c}), torch.cat(native(x, (h, c)), 1))


def test_both_directions_are_torchs_and_aligned():
    model = BiLSTM(features=3)
    params = doubled(model)
    native = nn.LSTM(3, 3, bidirectional=True).double()
    state = {f"bias_hh_l0{end}": torch.zeros(12) for end in ("", "_reverse")}
    for ours, end in (("forwards", ""), ("backwards", "_reverse")):
        state |= {
            f"weight_ih_l0{end}": params[f"{ours}.input.weight"],
            f"bias_ih_l0{end}": params[f"{ours}.input.bias"],
            f"weight_hh_l0{end}": params[f"{ours}.hidden.weight"],
        }
    native.load_state_dict(state)
    x = sequence(6)
    both = native(x)[0]
    found = model.apply(params, {"x": x, "rows": torch.ones(6, dtype=torch.bool)})
    assert torch.allclose(found, both[:, :3] + both[:, 3:])


def test_a_reversed_sequence_through_exchanged_directions_is_the_reverse():
    """Fails where backward states are added to the wrong rows."""
    model = BiLSTM(features=3)
    params = doubled(model)
    other = {"forwards": "backwards", "backwards": "forwards"}
    exchanged = {f"{other[k.partition('.')[0]]}.{k.partition('.')[2]}": v for k, v in params.items()}
    x, rows = sequence(6), torch.ones(6, dtype=torch.bool)
    found = model.apply(exchanged, {"x": x.flip(0), "rows": rows})
    assert torch.allclose(found.flip(0), model.apply(params, {"x": x, "rows": rows}))


def test_rows_that_do_not_count_are_passed_over():
    model = BiLSTM(features=3)
    params, x = doubled(model), sequence(6)
    rows = torch.tensor([True, False, True, True, False, True])
    found = model.apply(params, {"x": x, "rows": rows})[rows]
    alone = model.apply(params, {"x": x[rows], "rows": rows[rows]})
    assert torch.allclose(found, alone)
