"""53 more wrong models: states handed to the wrong place, values thrown away, axes, losses and settings."""

import torch
import torch.nn.functional as F
from collected import LENGTHS, C, H, I, N, Of, T, V, WithLengths, ids, numbers, padded
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from wrong_models import WRONG, gru, head, packed, wrong

__all__ = ["WRONG"]


class Cell(nn.Module):
    """A cell of one's own."""

    def __init__(self, read: int = I) -> None:
        super().__init__()
        self.linear = nn.Linear(read + H, H)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.linear(torch.cat([x, h], 1)))


def labels(*shape: int) -> Tensor:
    return torch.randint(C, shape)


# ---------------------------------------------------------------- states


@wrong("no-memory", r"torch\.cat\(\[x, h\], 1\)` .* reads the same state at every turn.*h = cell\(x_t, h\)")
def state_of_a_cell_of_ones_own_never_updated():
    def forward(self, x):
        h = torch.zeros(len(x), H)
        return self.fc(torch.stack([self.cell(x_t, h) for x_t in x.unbind(1)], 1))

    return Of(forward, cell=Cell(), fc=head()), numbers()


@wrong("no-memory", r"self\.h2h\(start\)` .* reads the same state at every turn")
def every_step_from_the_first_state():
    def forward(self, x):
        start = self.start.expand(len(x), -1)
        for x_t in x.unbind(1):
            h = torch.tanh(self.i2h(x_t) + self.h2h(start))
        return self.fc(h)

    parts = dict(i2h=nn.Linear(I, H), h2h=nn.Linear(H, H), start=nn.Parameter(torch.randn(1, H)))
    return Of(forward, **parts, fc=head()), numbers()


@wrong("state-of-another", r"'upper' \(GRUCell\) is given as its state what it also reads.*cells\[k\]\(below, h\[k\]\)")
def one_state_for_two_layers():
    def forward(self, x):
        h = torch.zeros(len(x), H)
        for x_t in x.unbind(1):
            h = self.lower(x_t, h)
            h = self.upper(h, h)
        return self.fc(h)

    return Of(forward, lower=nn.GRUCell(I, H), upper=nn.GRUCell(H, H), fc=head()), numbers()


@wrong("state-of-another", r"'decoder' \(GRU\) start from the two directions of 'encoder' \(GRU\).*torch\.cat")
def directions_taken_for_layers():
    def forward(self, x):
        _, h = self.encoder(x)
        return self.fc(self.decoder(x, h)[0])

    return Of(forward, encoder=gru(bidirectional=True), decoder=gru(num_layers=2), fc=head()), numbers()


@wrong("states-swapped", r"'decoder' \(LSTM\) is given h in the place of both")
def h_for_both_states():
    def forward(self, x):
        _, (h, _) = self.encoder(x)
        return self.fc(self.decoder(x, (h, h))[0])

    layers = dict(encoder=nn.LSTM(I, H, batch_first=True), decoder=nn.LSTM(I, H, batch_first=True))
    return Of(forward, **layers, fc=head()), numbers()


@wrong("state-not-returned", r"the one that went in.*output, h = rnn\(x, h\)")
def state_handed_back_as_it_came():
    def forward(self, x, h):
        output, _ = self.rnn(x, h)
        return self.fc(output), h

    return Of(forward, rnn=gru(), fc=head()), (numbers(), torch.randn(1, N, H))


@wrong("steps-overwritten", r"h\.copy_\(.*every step holds what the last one wrote.*h\.clone\(\)")
def one_tensor_for_all_steps():
    def forward(self, x):
        h, outputs = torch.zeros(len(x), H), []
        for x_t in x.unbind(1):
            h.copy_(self.cell(x_t, h.clone()))
            outputs.append(h)
        return self.fc(torch.stack(outputs, 1))

    return Of(forward, cell=nn.GRUCell(I, H), fc=head()), numbers()


@wrong("no-memory", r"'decoder' \(GRU\) is called 4 times, each time from the same state.*output, state = layer\(word")
def forecast_that_starts_from_the_encoder_at_each_step():
    def forward(self, x):
        _, state = self.encoder(x)
        step, outputs = x[:, -1:], []
        for _ in range(4):
            output, _ = self.decoder(step, state)
            outputs.append(step := self.fc(output))
        return torch.cat(outputs, 1)

    return Of(forward, encoder=gru(), decoder=gru(), fc=nn.Linear(H, I)), numbers()


# ---------------------------------------------------------------- two directions, and steps


@wrong("backward-not-turned", r"its input was not turned.*backward\(x\.flip\(1\)\)\[0\]\.flip\(1\)")
def output_turned_and_input_not():
    def forward(self, x):
        return self.fc(torch.cat([self.there(x)[0], self.back(x)[0].flip(1)], -1))

    return Of(forward, there=gru(), back=gru(), fc=head(2 * H)), numbers()


@wrong("backward-not-turned", r"A loop reads the sequence turned round.*outputs\[::-1\]")
def steps_of_a_backward_loop_in_the_order_of_reading():
    def forward(self, x):
        there = back = torch.zeros(len(x), H)
        outputs = [], []
        for x_t in x.unbind(1):
            outputs[0].append(there := self.there(x_t, there))
        for x_t in reversed(x.unbind(1)):
            outputs[1].append(back := self.back(x_t, back))
        return self.fc(torch.cat([torch.stack(steps, 1) for steps in outputs], -1))

    return Of(forward, there=nn.GRUCell(I, H), back=nn.GRUCell(I, H), fc=head(2 * H)), numbers()


@wrong("last-step-unread", r"The first step alone is read.*x\[:, 0\] in the place of x\[:, t\]")
def index_that_stays_the_same():
    def forward(self, x):
        h = torch.zeros(len(x), H)
        for _ in range(x.shape[1]):
            h = self.cell(x[:, 0], h)
        return self.fc(h)

    return Of(forward, cell=nn.GRUCell(I, H), fc=head()), numbers()


@wrong("steps-scattered", r"view\(len\(x\), C, -1\)` .* cuts \(5, 7, 3\) anew as \(5, 3, 7\)")
def classes_viewed_into_the_second_place():
    return Of(lambda self, x: self.fc(self.rnn(x)[0]).view(len(x), C, -1), rnn=gru(), fc=head()), numbers()


@wrong("steps-scattered", r"view\(len\(x\), 2, -1, H // 2\)` .* cuts \(5, 7, 6\) anew as \(5, 2, 7, 3\)")
def heads_viewed_before_the_steps():
    def forward(self, x):
        query = self.query(self.rnn(x)[0]).view(len(x), 2, -1, H // 2)
        weights = (query @ query.transpose(-1, -2)).softmax(-1)
        return self.fc((weights @ query).transpose(1, 2).flatten(2))

    return Of(forward, rnn=gru(), query=nn.Linear(H, H), fc=head()), numbers()


@wrong("features-as-time", r"'rnn' \(GRU\) runs over the features and takes the 7 steps for its features")
def transposed_before_the_layer():
    rnn = nn.GRU(T, H, batch_first=True)
    return Of(lambda self, x: self.fc(self.rnn(x.transpose(1, 2))[1][-1]), rnn=rnn, fc=head()), numbers()


@wrong("features-as-time", r"'conv' \(Conv1d\) runs over the features.*x\.transpose\(1, 2\)")
def convolution_over_the_features():
    conv = nn.Conv1d(T, T, 3, padding=1)
    return Of(lambda self, x: self.fc(self.rnn(self.conv(x))[1][-1]), conv=conv, rnn=gru(), fc=head()), numbers()


# ---------------------------------------------------------------- weights


@wrong("softmax-axis", r"sum to one over axis 2 of \(5, 7, 6\).*sums over axis 1")
def attention_over_the_features():
    def forward(self, x):
        output, _ = self.rnn(x)
        weights = self.score(output).softmax(-1)
        return self.fc((weights * output).sum(1))

    return Of(forward, rnn=gru(), score=nn.Linear(H, H), fc=head()), numbers()


@wrong("softmax-axis", r"sum to one over axis 1 of \(5, 7, 7\).*sums over axis 2")
def attention_over_the_queries():
    def forward(self, x):
        output, _ = self.rnn(x)
        weights = (self.query(output) @ self.key(output).transpose(1, 2)).softmax(1)
        return self.fc(weights @ output)

    return Of(forward, rnn=gru(), query=nn.Linear(H, H), key=nn.Linear(H, H), fc=head()), numbers()


@wrong("softmax-axis", r"log_softmax\(1\)` .* runs over the steps")
def tags_over_the_steps():
    return Of(lambda self, x: self.fc(self.rnn(x)[0]).log_softmax(1), rnn=gru(), fc=head()), numbers()


@wrong("no-gradient", r"query\.weight takes part and changes nothing.*Look at what reads them")
def query_that_cancels_with_the_mean():
    def forward(self, x):
        output, h = self.rnn(x)
        scores = self.key(output) + self.query(h[-1])[:, None]
        return self.fc(output[:, -1] + ((scores - scores.mean(1, keepdim=True)) * output).sum(1))

    return Of(forward, rnn=gru(), key=nn.Linear(H, 1), query=nn.Linear(H, 1), fc=head()), numbers()


@wrong("no-gradient", r"query\.weight takes part and changes nothing.*tanh")
def query_that_cancels_in_the_softmax():
    def forward(self, x):
        output, h = self.rnn(x)
        weights = (self.key(output) + self.query(h[-1])[:, None]).softmax(1)
        return self.fc((weights * output).sum(1))

    return Of(forward, rnn=gru(), key=nn.Linear(H, 1), query=nn.Linear(H, 1), fc=head()), numbers()


@wrong("padding-read", r"softmax\(1\)` .* gives the padded steps a share.*-inf", lengths=LENGTHS)
def scores_of_the_padding_set_to_zero():
    def forward(self, x, lengths):
        past = torch.arange(x.shape[1]) >= lengths[:, None]
        output = self.rnn(x)[0].masked_fill(past[..., None], 0)
        weights = self.score(output)[..., 0].masked_fill(past, 0).softmax(1)
        return self.fc((weights[..., None] * output).sum(1))

    return WithLengths(forward, rnn=gru(), score=nn.Linear(H, 1), fc=head()), padded()


@wrong("padding-read", r"padded in front.*pad_sequence", lengths=LENGTHS)
def padding_in_front():
    def forward(self, x, lengths):
        return self.fc(self.rnn(packed(x, lengths))[1][-1])

    return WithLengths(forward, rnn=gru(), fc=head()), padded().flip(1)


@wrong("padding-read", r"\[:, -1\]` .* takes a step past the end")
def padding_that_the_embedding_tells_of():
    words = ids() * (torch.arange(T) < torch.tensor(LENGTHS)[:, None])
    words_of = nn.Embedding(V, I, padding_idx=0)
    return Of(lambda self, x: self.fc(self.rnn(self.words(x))[0][:, -1]), words=words_of, rnn=gru(), fc=head()), words


@wrong("batch-order", r"pad_packed_sequence\(.*lacks sorted_indices and unsorted_indices.*_replace")
def packed_sequence_put_together_anew():
    def forward(self, x, lengths):
        given = packed(x, lengths)
        given = PackedSequence(self.linear(given.data), given.batch_sizes)
        return self.fc(pad_packed_sequence(self.rnn(given)[0], batch_first=True)[0])

    return WithLengths(forward, linear=nn.Linear(I, I), rnn=gru(), fc=head()), padded(), {"lengths": LENGTHS}


# ---------------------------------------------------------------- what is not used


@wrong("result-discarded", r"`torch\.relu\(h\)` .* returns")
def activation_without_an_assignment():
    def forward(self, x):
        h = self.middle(self.rnn(x)[1][-1])
        torch.relu(h)
        return self.fc(h)

    return Of(forward, rnn=gru(), middle=nn.Linear(H, H), fc=head()), numbers()


@wrong("result-discarded", r"`f \* c \+ i \* g` .* returns")
def cell_state_that_never_comes_out():
    def forward(self, x):
        h = c = torch.zeros(len(x), H)
        for x_t in x.unbind(1):
            i, f, g, o = self.gates(torch.cat([x_t, h], 1)).chunk(4, 1)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            c = f * c + i * g
            h = o * torch.tanh(g)
        return self.fc(h)

    return Of(forward, gates=nn.Linear(I + H, 4 * H), fc=head()), numbers()


@wrong("result-discarded", r"`self\.dropout\(h\)` .* returns")
def dropout_without_an_assignment():
    def forward(self, x):
        h = self.rnn(x)[1][-1]
        self.dropout(h)
        return self.fc(h)

    return Of(forward, rnn=gru(), dropout=nn.Dropout(0.3), fc=head()), numbers()


@wrong("argument-unused", r"The argument \(1, 5, 6\) has no influence.*rnn\(x, h_0\)")
def first_state_not_handed_on():
    return Of(lambda self, x, h: self.fc(self.rnn(x)[0]), rnn=gru(), fc=head()), (numbers(), torch.randn(1, N, H))


@wrong("batch-mixed", r"mean\(0\)` .* runs over the samples")
def another_argument_averaged_over_the_batch():
    def forward(self, x, static):
        return self.fc(self.rnn(x)[1][-1] + self.static(static).mean(0))

    return Of(forward, rnn=gru(), static=nn.Linear(3, H), fc=head()), (numbers(), torch.randn(N, 3))


@wrong("argument-unused", r"in evaluation and not in training.*if self\.training")
def teacher_forcing_turned_round():
    def forward(self, x, y):
        h, fed, outputs = self.encoder(x)[1][-1], torch.zeros(len(x), C), []
        for y_t in y.unbind(1):
            h = self.decoder(fed, h)
            outputs.append(self.fc(h))
            fed = outputs[-1] if self.training else y_t
        return torch.stack(outputs, 1)

    return Of(forward, encoder=gru(), decoder=nn.GRUCell(C, H), fc=head()), (numbers(), torch.randn(N, 4, C))


@wrong("batch-mixed", r"how many samples there are, by `.*/ x\.size\(0\)`")
def mean_over_time_divided_by_the_batch():
    return Of(lambda self, x: self.fc(self.rnn(x)[0].sum(1) / x.size(0)), rnn=gru(), fc=head()), numbers()


@wrong("last-step-unread", r"The last step of output \(5, 7, 3\) is the same.*range\(T - 1\)")
def last_row_never_written():
    def forward(self, x):
        h, outputs = torch.zeros(len(x), H), torch.zeros(len(x), x.shape[1], C)
        for t in range(x.shape[1] - 1):
            h = self.cell(x[:, t], h)
            outputs[:, t] = self.fc(h)
        return outputs

    return Of(forward, cell=nn.GRUCell(I, H), fc=head()), numbers()


@wrong("features-as-time", r"'norm' \(BatchNorm1d\) runs over the features.*x\.transpose\(1, 2\)")
def batch_norm_of_each_step():
    return Of(
        lambda self, x: self.fc(self.norm(self.rnn(x)[0])), rnn=gru(), norm=nn.BatchNorm1d(T), fc=head()
    ), numbers()


@wrong("nan", r"gradients of inwards\.weight are NaN.*sqrt\(x \+ eps\)")
def norm_of_empty_steps():
    def forward(self, x):
        size = torch.sqrt((self.inwards(x) ** 2).sum(-1, keepdim=True))
        return self.fc(self.rnn(size)[1][-1])

    rnn = nn.GRU(1, H, batch_first=True)
    return Of(forward, inwards=nn.Linear(I, I, bias=False), rnn=rnn, fc=head()), padded()


# ---------------------------------------------------------------- losses


@wrong("squashed-twice", r"softmax is taken twice.*logits")
def cross_entropy_of_probabilities():
    def forward(self, x, y):
        return F.cross_entropy(self.fc(self.rnn(x)[0]).softmax(-1).flatten(0, 1), y.flatten())

    return Of(forward, rnn=gru(), fc=head()), (numbers(), labels(N, T))


@wrong("squashed-twice", r"sigmoid is taken twice")
def sigmoid_of_a_sigmoid():
    return Of(lambda self, x: self.fc(self.rnn(x)[0]).sigmoid().sigmoid(), rnn=gru(), fc=head()), numbers()


@wrong("loss-unfit", r"F\.nll_loss\(.*no logarithms of probabilities.*log_softmax")
def nll_loss_of_logits():
    def forward(self, x, y):
        return F.nll_loss(self.fc(self.rnn(x)[1][-1]), y)

    return Of(forward, rnn=gru(), fc=head()), (numbers(), labels(N))


@wrong("loss-misaligned", r"targets of other samples.*output\.transpose\(0, 1\)")
def time_first_predictions_beside_batch_first_targets():
    def forward(self, x, y):
        return F.cross_entropy(self.fc(self.rnn(x.transpose(0, 1))[0]).flatten(0, 1), y.flatten())

    return Of(forward, rnn=nn.GRU(I, H), fc=head()), (numbers(), labels(N, T))


@wrong("loss-misaligned", r"targets of other samples")
def misaligned_with_fewer_steps_than_samples():
    def forward(self, x, y):
        return F.cross_entropy(self.fc(self.rnn(x.transpose(0, 1))[0]).flatten(0, 1), y.flatten())

    return Of(forward, rnn=nn.GRU(I, H), fc=head()), (numbers(N, 2), labels(N, 2))


@wrong("batch-mixed", r"F\.mse_loss\(.*broadcasts \(5, 1\) and \(5,\).*squeeze\(-1\)")
def mean_squared_error_of_all_pairs():
    def forward(self, x, y):
        return F.mse_loss(self.fc(self.rnn(x)[1][-1]), y)

    return Of(forward, rnn=gru(), fc=nn.Linear(H, 1)), (numbers(), torch.randn(N))


@wrong("batch-mixed", r"broadcasts \(5, 1\) and \(5,\) to \(5, 5\)")
def squared_differences_of_all_pairs():
    def forward(self, x, y):
        return ((self.fc(self.rnn(x)[1][-1]) - y) ** 2).mean()

    return Of(forward, rnn=gru(), fc=nn.Linear(H, 1)), (numbers(), torch.randn(N))


# ---------------------------------------------------------------- settings


@wrong("padding-id-used", r"'words' \(Embedding\) calls id 0 padding.*Leave padding_idx out")
def first_letter_called_padding():
    letters = ids()
    letters[:2, 3] = 0
    parts = dict(words=nn.Embedding(V, I, padding_idx=0), rnn=gru(), fc=nn.Linear(H, V))
    return Of(lambda self, x: self.fc(self.rnn(self.words(x))[0]), **parts), letters


@wrong("alike-units", r"All units of 'rnn' \(GRU\) start with the same weights.*at random")
def layer_that_starts_at_a_tenth():
    rnn = gru()
    for name, parameter in rnn.named_parameters():
        nn.init.constant_(parameter, 0.1 if "weight" in name else 0.0)
    return Of(lambda self, x: self.fc(self.rnn(x)[0][:, -1]), rnn=rnn, fc=head()), numbers()


@wrong("saturated-units", r"units of `torch\.sigmoid\(.\)` .* stay below 0\.005 or above")
def gates_that_positive_weights_drive_open():
    def forward(self, x):
        h = c = torch.zeros(len(x), 32)
        for x_t in x.unbind(1):
            i, f, g, o = (x_t @ self.w + h @ self.u).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.fc(h)

    w, u = (nn.Parameter(torch.rand(size, 128)) for size in (I, 32))
    return Of(forward, w=w, u=u, fc=head(32)), numbers(5, 12)


@wrong("batch-lost", r"view\(5, 7, -1\)` .* takes rows of a packed sequence's data.*pad_packed_sequence first")
def rows_of_packed_data_viewed():
    def forward(self, x):
        output, _ = self.rnn(packed(x, torch.full((5,), 7)))
        return self.fc(output.data).view(5, 7, -1)

    return Of(forward, rnn=gru(), fc=head()), numbers(5, 7)


@wrong("batch-lost", r"view\(len\(x\), 3\)` .* as repeat puts them.*repeat_interleave")
def copies_in_turn_beside_copies_together():
    def forward(self, x, y):
        questions = self.rnn(x)[1][-1].repeat(3, 1)
        return self.score(questions, self.rnn(y.flatten(0, 1))[1][-1]).view(len(x), 3)

    return Of(forward, rnn=gru(), score=nn.Bilinear(H, H, 1)), (numbers(), torch.randn(N, 3, T, I))


@wrong("exploding-gradient", r"explode over the 12 steps")
def relu_with_large_weights():
    rnn = nn.RNN(I, 32, nonlinearity="relu", batch_first=True)
    nn.init.normal_(rnn.weight_hh_l0)
    return Of(lambda self, x: self.fc(self.rnn(x)[0][:, -1]), rnn=rnn, fc=head(32)), numbers(5, 12)


@wrong("saturated-units", r"6 of the 6 units of `torch\.tanh\(.*` .* stay beyond")
def recurrent_weights_that_are_all_positive():
    def forward(self, x):
        h = torch.zeros(len(x), H)
        for x_t in x.unbind(1):
            h = torch.tanh(self.i2h(x_t) + h @ self.w)
        return self.fc(h)

    return Of(forward, i2h=nn.Linear(I, H), w=nn.Parameter(0.5 + torch.rand(H, H)), fc=head()), numbers(5, 20)


@wrong("made-in-forward", r"A parameter \(1, 5, 6\) is made anew.*in __init__")
def learned_first_state_made_in_forward():
    def forward(self, x):
        return self.fc(self.rnn(x, nn.Parameter(torch.zeros(1, len(x), H)))[1][-1])

    return Of(forward, rnn=gru(), fc=head()), numbers()


@wrong("not-registered", r"W: weights that are plain tensors.*register_buffer")
def random_weights_in_a_plain_tensor():
    def forward(self, x):
        h = torch.zeros(len(x), H)
        for x_t in x.unbind(1):
            h = torch.tanh(self.i2h(x_t) + h @ self.W)
        return self.fc(h)

    return Of(forward, i2h=nn.Linear(I, H), W=torch.randn(H, H) / 3, fc=head()), numbers()


def gru_of(size: int) -> nn.GRU:
    return nn.GRU(size, size, batch_first=True)


@wrong("layers-shared", r"'layers' holds one and the same GRU 3 times.*for _ in range\(n\)")
def one_layer_three_times():
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)[0]
        return self.fc(x[:, -1])

    return Of(forward, layers=nn.ModuleList([gru_of(H)] * 3), fc=head()), torch.randn(N, T, H)


@wrong("mode-changed", r"switches between training and evaluation itself")
def evaluation_within_forward():
    def forward(self, x):
        self.eval()
        return self.fc(self.dropout(self.rnn(x)[1][-1]))

    return Of(forward, rnn=gru(), dropout=nn.Dropout(0.5), fc=head()), numbers()


@wrong("dropout-unused", r"'rnn' \(RNN\) has dropout=0\.3 and one layer")
def dropout_between_one_layer():
    rnn = nn.RNN(I, H, batch_first=True)
    rnn.dropout = 0.3  # torch warns where it is given to the constructor
    return Of(lambda self, x: self.fc(self.rnn(x)[1][-1]), rnn=rnn, fc=head()), numbers()
