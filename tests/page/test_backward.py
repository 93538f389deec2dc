"""The backward pass of the page: its losses and its gradients are those of torch's autograd."""

import math

import pytest
import torch
from browser import cell, place
from torch import nn

import elman
from elman.explain._numbers import short


def shown(one, row: str) -> list[list[float]]:
    """What the cells of a row say, with up to four units."""
    labels = one.page.locator(f'.cell[data-row="{row}"]').evaluate_all(
        "(all) => all.filter((c) => c.dataset.col >= 0 && !c.matches('.hn, .h0')).map((c) => c.ariaLabel)"
    )
    assert all(label.startswith("dL/d ") for label in labels)
    return [[float(value) for value in label.rsplit(": ", 1)[1].split(", ")] for label in labels]


def close(numbers: list[list[float]], gradient: torch.Tensor) -> None:
    """To the three digits that are shown."""
    torch.testing.assert_close(torch.tensor(numbers), gradient.float(), rtol=6e-3, atol=1e-12)


def gradients(rnn: nn.RNN, x: torch.Tensor, loss) -> tuple[list[torch.Tensor], torch.Tensor]:
    """dL/dh of each layer and direction, (T, H), and dL/dx (T, I), by autograd of layers run one at a time."""
    D = 2 if rnn.bidirectional else 1
    x = x.clone().requires_grad_()
    below, kept = x, []
    for layer in range(rnn.num_layers):
        halves = []
        for d in range(D):
            w_ih, w_hh, b_ih, b_hh = (w.detach() for w in rnn.all_weights[layer * D + d])
            h, states = torch.zeros(rnn.hidden_size), {}
            for t in reversed(range(len(x))) if d else range(len(x)):
                h = torch.tanh(w_ih @ below[t] + b_ih + w_hh @ h + b_hh)
                h.retain_grad()
                states[t] = h
            kept.append([states[t] for t in range(len(x))])
            halves.append(torch.stack(kept[-1]))
        below = torch.cat(halves, -1)
    loss(below).backward()
    none = torch.zeros(rnn.hidden_size)
    return [torch.stack([none if h.grad is None else h.grad for h in states]) for states in kept], x.grad


def test_gradient_of_classes_is_torchs(tab, tmp_path) -> None:
    """Cross-entropy at two chosen steps, through two layers in both directions."""
    rnn, head = elman.RNN(3, 4, 2, bidirectional=True), nn.Linear(8, 3)
    x = torch.randn(6, 3)
    names = ["a", "b", "c"]
    wanted = [None, "b", None, "a", "c", None]
    trace = elman.trace(rnn, x).label(head=head, outcomes=names, targets=wanted)
    one = tab(trace.save(tmp_path / "classes.html"), "#t=2&row=l0&back=1&loss=1.4")

    def loss(output: torch.Tensor) -> torch.Tensor:
        logits = head(output)[[1, 4]]
        return nn.functional.cross_entropy(logits, torch.tensor([1, 2]), reduction="sum")

    expected, dx = gradients(rnn, x, loss)
    for row, gradient in zip(("l0", "l0r", "l1", "l1r"), expected, strict=True):
        close(shown(one, row), gradient)
    close(shown(one, "x"), dx)
    losses = one.page.locator(".loss").all()
    assert [button.is_enabled() for button in losses] == [target is not None for target in wanted]
    each = nn.functional.cross_entropy(head(rnn(x)[0])[[1, 3, 4]], torch.tensor([1, 0, 2]), reduction="none")
    assert [losses[t].inner_text() for t in (1, 3, 4)] == [short(v) for v in each.tolist()]
    for row, layer in (("l0", 0), ("l1r", 3)):
        cell(one, row, 2).click()
        for unit in (0, 3):
            one.page.locator(f'#panel [data-focus="unit-{unit}"]').click()
            total = expected[layer][2, unit].item()
            assert one.page.locator("#formula").text_content().endswith(f"= {short(total)}")
            parts = one.page.locator(".waterfall output").all_inner_texts()
            assert sum(map(float, parts[:-1])) == pytest.approx(total, rel=0.02, abs=1e-3 * abs(total) + 1e-6)
    losses[3].click()
    assert place(one)["loss"] == "1.3.4"
    one.page.click("#backward")
    assert "back" not in place(one)
    assert one.page.locator(".flow").count() == 0


def test_way_back_multiplies_to_the_gradient(tab, tmp_path) -> None:
    """With one unit each factor is a weight times a derivative, and the product is dh_s/dh_t."""
    rnn = elman.RNN.from_weights([[0.7]], [[0.9]], [0.1])
    x = torch.randn(7, 1)
    trace = elman.trace(rnn, x)
    one = tab(trace.save(tmp_path / "way.html"), "#t=1&row=l0&back=1")
    (dh,), _ = gradients(rnn, x, lambda output: output[6, 0])
    close(shown(one, "l0"), dh)
    way = one.page.locator("#way").text_content()
    slopes = (1 - trace.hidden[0, 0, 2:7, 0, 0] ** 2).flip(0).tolist()
    written = way.split(" = ")[1].split(" · ")
    assert written[0] == "1"
    factors = [tuple(map(float, text.strip("|").split("·"))) for text in written[1:]]
    assert factors == [pytest.approx((0.9, slope), abs=5e-5) for slope in slopes]
    assert way.endswith(f"= {short(dh[1, 0].item())}")
    assert math.prod(a * b for a, b in factors) == pytest.approx(dh[1, 0].item(), rel=1e-3)


def test_gradient_of_values_is_torchs(tab, tmp_path) -> None:
    """The squared error of the last step, as the page begins; a change of a weight changes it too."""
    rnn, head = elman.RNN(2, 3), nn.Linear(3, 1)
    x, target = torch.randn(5, 2), torch.randn(5)
    trace = elman.trace(rnn, x).label(head=head, targets=target.tolist())
    one = tab(trace.save(tmp_path / "values.html"), "#t=0&row=l0")
    one.page.click("#backward")

    def loss(output: torch.Tensor) -> torch.Tensor:
        return (head(output)[4, 0] - target[4]) ** 2

    (dh,), dx = gradients(rnn, x, loss)
    close(shown(one, "l0"), dh)
    close(shown(one, "x"), dx)
    one.page.click("#zero-hh")
    with torch.no_grad():
        rnn.weight_hh_l0.zero_()
    (dh,), dx = gradients(rnn, x, loss)
    close(shown(one, "l0"), dh)
    assert not dh[:4].any()


def test_text_that_is_typed_is_read_and_predicted_as_by_torch(tab, tmp_path) -> None:
    embedding, rnn, head = nn.Embedding(4, 5), elman.RNN(5, 6), nn.Linear(6, 4)
    letters = "ab<안"
    trace = elman.trace(rnn, embedding(torch.tensor([0, 1]))).label(
        tokens=list("ab"),
        head=head,
        outcomes=list(letters),
        targets=["b", None],
        vocabulary=dict(zip(letters, embedding.weight, strict=True)),
    )
    one = tab(trace.save(tmp_path / "typed.html"))
    one.page.locator("#typed").press_sequentially("안<xba")
    assert one.page.locator(".head b").all_inner_texts() == list("안<ba")
    assert "not known here: x" in one.page.locator("#typed-said").inner_text()
    output = rnn(embedding(torch.tensor([3, 2, 1, 0])))[0]
    likely = head(output).softmax(-1).sort(descending=True)
    for t, box in enumerate(one.page.locator(".guesses").all()):
        words = box.inner_text().split()
        assert words[::2] == [letters[k] for k in likely.indices[t][:3]]
        assert [int(word.strip("%")) for word in words[1::2]] == pytest.approx(
            [100 * p for p in likely.values[t][:3].tolist()], abs=0.51
        )
    one.page.click("#backward")
    losses = nn.functional.cross_entropy(head(output)[:3], torch.tensor([2, 1, 0]), reduction="none")
    assert one.page.locator(".loss").all_inner_texts() == [*map(short, losses.tolist()), ""]
    again = tab(tmp_path / "typed.html", "#" + one.page.url.split("#")[1])
    assert again.page.locator(".head b").all_inner_texts() == list("안<ba")
    one.page.locator("#typed").fill("")
    assert one.page.locator(".head b").all_inner_texts() == list("ab")
    plain = tab(elman.trace(rnn, torch.randn(3, 5)).save(tmp_path / "plain.html"))
    assert plain.page.locator("#typed-box").is_hidden()


def test_a_loss_without_target_says_what_is_missing(tab, tmp_path) -> None:
    """No output layer, or no target: what is missing is said, and what is shown in its place."""
    missing_head, missing_target = "There is no output layer here", "What should come out is not known here"
    trace, said = elman.trace(elman.RNN(4, 3), torch.randn(5, 2, 4)), []
    for name, read in (
        ("plain", trace),
        ("open", trace.label(head=nn.Linear(3, 1))),
        ("known", trace.label(head=nn.Linear(3, 1), targets=[0.5] * 5)),
    ):
        one = tab(read.save(tmp_path / f"{name}.html"), "#back=1")
        said.append(one.page.locator("#panel p").all_inner_texts()[1])
    assert said[0].startswith(missing_head)
    assert said[1].startswith(missing_target)
    assert said[2].startswith("Loss after step 4: ")


def test_targets_are_turned_with_the_input(tab, tmp_path) -> None:
    """Of the tensor read the other way each loss is that of the same target, if it has one."""
    rnn, head = elman.RNN(4, 3), nn.Linear(3, 1)
    x, target = torch.randn(5, 2, 4), torch.randn(2, 5)
    for name, given, wanted in (
        ("each", [[None, *target[0, 1:].tolist()], target[1].tolist()], target),
        ("all", target[0].tolist(), target[:1].expand(2, 5)),
    ):
        trace = elman.trace(rnn, x).label(head=head, targets=given)
        one = tab(trace.save(tmp_path / f"{name}.html"), "#back=1&b=1")
        losses = one.page.locator(".loss")
        before = losses.all_inner_texts()
        one.page.click("#batch-first")
        errors = (head(rnn(x.transpose(0, 1))[0])[..., 0] - wanted) ** 2  # (2, 5): 2 steps of 5 sequences
        for b in range(5):
            one.page.select_option("#sequence", str(b))
            expected = [short(value) for value in errors[:, b].tolist()]
            assert losses.all_inner_texts() == (["", expected[1]] if (name, b) == ("each", 0) else expected)
        assert one.page.locator("#panel p").all_inner_texts()[1].startswith("Loss after step 1: ")
        one.page.click("#batch-first")
        one.page.select_option("#sequence", "1")
        assert losses.all_inner_texts() == before
