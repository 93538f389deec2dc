"""What five tutorials teach with torch.nn.RNN, run with elman's class in its place.

Each test follows one of them: the shapes it states, the numbers it prints, and where it is mistaken, what is true.
"""

import numpy
import torch
import torchinfo

import elman


def test_two_layers_have_eight_parameters_and_the_stated_shapes() -> None:
    rnn = elman.RNN(10, 20, 2)
    assert {name: tuple(p.shape) for name, p in rnn.named_parameters()} == {
        "weight_ih_l0": (20, 10),
        "weight_hh_l0": (20, 20),
        "bias_ih_l0": (20,),
        "bias_hh_l0": (20,),
        "weight_ih_l1": (20, 20),
        "weight_hh_l1": (20, 20),
        "bias_ih_l1": (20,),
        "bias_hh_l1": (20,),
    }
    input, h0 = torch.randn(5, 3, 10), torch.randn(2, 3, 20)
    output, h_n = rnn(input, h0)
    assert (output.shape, h_n.shape) == ((5, 3, 20), (2, 3, 20))
    torch.testing.assert_close(rnn(input), rnn(input, torch.zeros(2, 3, 20)))


def test_stacked_layers_follow_the_formula() -> None:
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), and the second layer reads the first one's states."""
    for nonlinearity, f in (("tanh", torch.tanh), ("relu", torch.relu)):
        rnn = elman.RNN(10, 20, 2, nonlinearity=nonlinearity, dtype=torch.float64)
        w = dict(rnn.named_parameters())
        x, h = torch.randn(5, 3, 10, dtype=torch.float64), torch.randn(2, 3, 20, dtype=torch.float64)
        output, h_n = rnn(x, h)
        states = list(h)
        for t in range(5):
            below = x[t]
            for k in range(2):
                from_input = below @ w[f"weight_ih_l{k}"].T + w[f"bias_ih_l{k}"]
                states[k] = f(from_input + states[k] @ w[f"weight_hh_l{k}"].T + w[f"bias_hh_l{k}"])
                below = states[k]
            torch.testing.assert_close(output[t], below)
        torch.testing.assert_close(h_n, torch.stack(states))


# Three words over the alphabet h, e, l, o, each row read by the layer as one time step.
WORDS = ("hello", "eolll", "lleel")
PRINTED = [
    [[-0.7497, -0.6135], [-0.5282, -0.2473], [-0.9136, -0.4269], [-0.9136, -0.4269], [-0.9028, 0.1180]],
    [[-0.5753, -0.0070], [-0.9052, 0.2597], [-0.9173, -0.1989], [-0.9173, -0.1989], [-0.8996, -0.2725]],
    [[-0.9077, -0.3205], [-0.8944, -0.2902], [-0.5134, -0.0288], [-0.5134, -0.0288], [-0.9127, -0.2222]],
]


def one_hot_words() -> torch.Tensor:
    return torch.Tensor(numpy.eye(4, dtype=numpy.float32)[[["helo".index(c) for c in word] for word in WORDS]])


def test_hello_prints_the_published_numbers() -> None:
    """To the four digits that torch prints; the published run reads its first axis as time."""
    torch.manual_seed(0)
    rnn = elman.RNN(4, 2)
    outputs, _ = rnn(one_hot_words())
    assert outputs.shape == (3, 5, 2)
    assert [[[f"{v:.4f}" for v in row] for row in step] for step in outputs.tolist()] == [
        [[f"{v:.4f}" for v in row] for row in step] for step in PRINTED
    ]


def test_hello_mixes_words_unless_batch_first() -> None:
    """With batch_first=True the words are read apart: another word does not change the first one's states."""
    torch.manual_seed(0)
    mixed, apart = elman.RNN(4, 2), elman.RNN(4, 2, batch_first=True)
    apart.load_state_dict(mixed.state_dict())
    words = one_hot_words()
    changed = words.clone()
    changed[0] = words[2]
    assert not torch.allclose(mixed(changed)[0][1], mixed(words)[0][1])
    torch.testing.assert_close(apart(changed)[0][1], apart(words)[0][1])
    torch.testing.assert_close(apart(words)[0][0], mixed(words[0])[0])


def test_word_embeddings_take_the_place_of_one_hot_vectors() -> None:
    """Ids through an embedding, an RNN of hidden size 3, one state a mood: three classes that can be learned."""
    torch.manual_seed(0)
    embedding, rnn = torch.nn.Embedding(6, 8), elman.RNN(8, 3, batch_first=True)
    ids, moods = torch.tensor([[0, 1, 2], [0, 3, 2], [4, 1, 5]]), torch.tensor([0, 1, 2])
    optimiser = torch.optim.Adam([*embedding.parameters(), *rnn.parameters()], lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        _, h_n = rnn(embedding(ids))
        torch.nn.functional.cross_entropy(4 * h_n[0], moods).backward()
        optimiser.step()
    assert h_n[0].argmax(1).tolist() == moods.tolist()


def test_an_output_layer_on_top_reads_every_state() -> None:
    """h_t = tanh(x_t W_x + h_(t-1) W_h + b) and y_t = softmax(h_t W_y + b_y), for a stack over a time series."""
    rnn, head = elman.RNN(1, 6, num_layers=3, batch_first=True), torch.nn.Linear(6, 4)
    series = torch.sin(torch.linspace(0, 6, 50)).view(1, 50, 1)
    h, h_n = rnn(series)
    y = torch.softmax(head(h), -1)
    assert (y.shape, h_n.shape) == ((1, 50, 4), (3, 1, 6))
    torch.testing.assert_close(y.sum(-1), torch.ones(1, 50))
    w = {name.removesuffix("_l0"): p for name, p in rnn.named_parameters() if name.endswith("l0")}
    W_x, W_h, b = w["weight_ih"].T, w["weight_hh"].T, w["bias_ih"] + w["bias_hh"]
    state, first = torch.zeros(1, 6), []
    for x in series[0]:
        state = torch.tanh(x @ W_x + state @ W_h + b)
        first.append(state)
    below = elman.RNN(1, 6, batch_first=True)
    below.load_state_dict({name: p for name, p in rnn.state_dict().items() if name.endswith("l0")})
    torch.testing.assert_close(below(series)[0][0], torch.cat(first))


def test_one_unit_has_thirteen_parameters() -> None:
    rnn = elman.RNN(10, 1, 1)
    assert torchinfo.summary(rnn, verbose=0).total_params == 13
    assert [name for name, _ in rnn.named_parameters()] == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert [len(weights) for weights in rnn.all_weights] == [4]
    assert [tuple(p.shape) for p in rnn.all_weights[0]] == [(1, 10), (1, 1), (1,), (1,)]
    output, h_n = rnn(torch.randn(1, 3, 10), torch.randn(1, 3, 1))
    assert (output.shape, h_n.shape) == ((1, 3, 1), (1, 3, 1))
    batch_first = elman.RNN(10, 1, 1, batch_first=True)
    output, h_n = batch_first(torch.randn(1, 3, 10), torch.randn(1, 1, 1))
    assert (output.shape, h_n.shape) == ((1, 3, 1), (1, 1, 1))


def test_torchinfo_counts_with_an_input_as_for_torch() -> None:
    rows = []
    for cls in (elman.RNN, torch.nn.RNN):
        summary = torchinfo.summary(cls(10, 20, 2), input_size=(5, 3, 10), verbose=0, row_settings=())
        rows.append((summary.total_params, summary.total_output_bytes, summary.total_mult_adds))
    assert rows[0] == rows[1]


def test_a_sentence_by_hand() -> None:
    """'i am here now', one-hot, two units: W_ih is (2, 4), so that every state has two numbers."""
    rnn = elman.RNN(4, 2, dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]]))
        rnn.weight_hh_l0.copy_(torch.tensor([[0.9, 1.0], [1.1, 1.2]]))
        rnn.bias_ih_l0.copy_(torch.tensor([0.1, 0.2]))
        rnn.bias_hh_l0.zero_()
    output, _ = rnn(torch.eye(4, dtype=torch.float64))
    a, b = 0.0, 0.0
    for column, h in zip(((0.1, 0.5), (0.2, 0.6), (0.3, 0.7), (0.4, 0.8)), output.tolist(), strict=True):
        a, b = (
            numpy.tanh(column[0] + 0.9 * a + 1.0 * b + 0.1),
            numpy.tanh(column[1] + 1.1 * a + 1.2 * b + 0.2),
        )
        numpy.testing.assert_allclose(h, [a, b], rtol=1e-6)  # the weights above were rounded to float32 on the way


def test_output_and_last_state_for_one_and_three_layers_and_two_directions() -> None:
    """h_n is the output's last step for one layer in one direction only; otherwise it holds more, or another end."""
    inputs = torch.randn(40, 10, 5)
    shapes = {}
    for layers, bidirectional in ((1, False), (3, False), (3, True), (1, True)):
        rnn = elman.RNN(5, 8, num_layers=layers, batch_first=True, bidirectional=bidirectional)
        outputs, h_n = rnn(inputs)
        shapes[layers, bidirectional] = (tuple(outputs.shape), tuple(h_n.shape))
        last = outputs[:, -1]
        if (layers, bidirectional) == (1, False):
            torch.testing.assert_close(h_n[0], last)
        elif not bidirectional:
            torch.testing.assert_close(h_n[-1], last)
            assert not torch.allclose(h_n[0], last)
        else:
            torch.testing.assert_close(h_n[-2], last[:, :8])
            torch.testing.assert_close(h_n[-1], outputs[:, 0, 8:])
            assert not torch.allclose(h_n[-1], last[:, 8:])
    assert shapes == {
        (1, False): ((40, 10, 8), (1, 40, 8)),
        (3, False): ((40, 10, 8), (3, 40, 8)),
        (3, True): ((40, 10, 16), (6, 40, 8)),
        (1, True): ((40, 10, 16), (2, 40, 8)),
    }


def test_time_first_is_the_default() -> None:
    outputs, h_n = elman.RNN(5, 8)(torch.randn(10, 40, 5))
    assert (outputs.shape, h_n.shape) == ((10, 40, 8), (1, 40, 8))


def test_uninitialised_input_passes_as_in_torch() -> None:
    """One tutorial feeds torch.Tensor(40, 10, 5), which holds whatever the memory held: huge numbers, or NaN."""
    inputs = torch.randn(40, 10, 5)
    inputs.view(-1)[::7] *= 7.6e22
    inputs.view(-1)[::13] *= 4.5e-41
    results = []
    for cls in (elman.RNN, torch.nn.RNN):
        torch.manual_seed(1)
        results.append(cls(5, 8, num_layers=3, batch_first=True, bidirectional=True)(inputs))
    torch.testing.assert_close(*results)
