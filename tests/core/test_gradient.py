import torch

from innerloop.core.gradient import grad, value_and_grad


def cubic(params):
    return (params["x"] ** 3).sum()


def test_the_same_first_and_second_derivative_in_a_loop_and_under_vmap():
    xs = torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64)

    def second(x):
        return grad(lambda p: grad(cubic, p)["x"].sum(), {"x": x})["x"]

    assert torch.allclose(torch.stack([second(x) for x in xs]), 6 * xs)
    assert torch.allclose(torch.vmap(second)(xs), 6 * xs)


def test_first_order_stops_the_gradient_in_a_loop_and_under_vmap():
    def stepped(x, create_graph):
        return (x - grad(cubic, {"x": x}, create_graph)["x"]).sum()

    for create_graph, slope in ((True, 1 - 6 * 2.0), (False, 1.0)):
        x = torch.tensor([2.0, 2.0], requires_grad=True)
        assert torch.autograd.grad(stepped(x, create_graph), x)[0].tolist() == [slope, slope]
        under = torch.vmap(torch.func.grad(lambda x, c=create_graph: stepped(x, c)))(torch.tensor([[2.0], [2.0]]))
        assert under.flatten().tolist() == [slope, slope]


def test_no_graph_while_gradients_are_disabled():
    x = torch.tensor([2.0], requires_grad=True)
    with torch.no_grad():
        found = grad(cubic, {"x": x})
    assert found["x"].tolist() == [12.0] and not found["x"].requires_grad


def test_unused_parameters_get_zeros():
    params = {"x": torch.ones(2, requires_grad=True), "unused": torch.ones(3, requires_grad=True)}
    gradient, value, aux = value_and_grad(lambda p: (cubic(p), {"seen": p["x"].sum()}), params)
    assert gradient["unused"].tolist() == [0, 0, 0] and value == 2 and aux["seen"] == 2
    assert grad(lambda p: torch.tensor(1.0), {"x": torch.ones(2)})["x"].tolist() == [0, 0]
