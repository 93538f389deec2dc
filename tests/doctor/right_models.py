"""A hundred and two small models that are right, with a reading, an order of axes or a trick that could look wrong."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from collected import LENGTHS, C, Case, H, I, N, Of, T, V, WithLengths, ids, mask_of, numbers, padded
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman

RIGHT: dict[str, Case] = {}


def right(make: Any = None, **options: Any) -> Any:
    """The function makes a model and its input, of which the doctor should have nothing to say."""

    def keep(make: Any) -> Any:
        RIGHT[make.__name__] = Case(make, options=options)
        return make

    return keep if make is None else keep(make)


def gru(size: int = I, **options: Any) -> nn.GRU:
    return nn.GRU(size, H, batch_first=True, **options)


def rnn(size: int = I, **options: Any) -> elman.RNN:
    return elman.RNN(size, H, batch_first=True, **options)


def head(width: int = H) -> nn.Linear:
    return nn.Linear(width, C)


def packed(x: Tensor, lengths: Tensor) -> Any:
    return pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)


def with_lengths(forward: Any, **parts: Any) -> tuple[Any, ...]:
    return WithLengths(forward, **parts), padded(), {"lengths": LENGTHS}


# ---------------------------------------------------------------- readings of the output and of h_n


@right
def tagger():
    return Of(lambda self, x: self.fc(self.rnn(x)[0]), rnn=nn.LSTM(I, H, 2, batch_first=True), fc=head()), numbers()


@right
def last_step():
    return Of(lambda self, x: self.fc(self.rnn(x)[0][:, -1]), rnn=gru(), fc=head()), numbers()


@right
def last_state():
    return Of(lambda self, x: self.fc(self.rnn(x)[1][-1]), rnn=rnn(num_layers=2), fc=head()), numbers()


@right
def both_last_states():
    def forward(self, x):
        _, (h_n, _) = self.rnn(x)
        return self.fc(torch.cat([h_n[-2], h_n[-1]], 1))

    return Of(forward, rnn=nn.LSTM(I, H, 2, batch_first=True, bidirectional=True), fc=head(2 * H)), numbers()


@right
def all_states_side_by_side():
    return Of(lambda self, x: self.fc(self.rnn(x)[1].permute(1, 0, 2).reshape(len(x), -1)), rnn=rnn(num_layers=3),
              fc=head(3 * H)), numbers()  # fmt: skip


@right
def states_viewed_by_layer_and_direction():
    def forward(self, x):
        _, h_n = self.rnn(x)
        there, back = h_n.view(2, 2, len(x), H)[-1]
        return self.fc(there + back)

    return Of(forward, rnn=gru(num_layers=2, bidirectional=True), fc=head()), numbers()


@right
def mean_of_the_layers_states():
    return Of(lambda self, x: self.fc(self.rnn(x)[1].mean(0)), rnn=gru(num_layers=2), fc=head()), numbers()


@right
def mean_over_time():
    return Of(lambda self, x: self.fc(self.rnn(x)[0].mean(1)), rnn=gru(bidirectional=True), fc=head(2 * H)), numbers()


@right
def maximum_over_time():
    return Of(lambda self, x: self.fc(self.rnn(x)[0].max(1).values), rnn=rnn(bidirectional=True),
              fc=head(2 * H)), numbers()  # fmt: skip


@right
def first_and_last_of_two_directions():
    def forward(self, x):
        output, _ = self.rnn(x)
        return self.fc(torch.cat([output[:, -1, :H], output[:, 0, H:]], 1))

    return Of(forward, rnn=gru(bidirectional=True), fc=head(2 * H)), numbers()


@right
def attention_over_time():
    def forward(self, x):
        output, _ = self.rnn(x)
        weights = self.score(torch.tanh(output)).softmax(1)
        return self.fc((weights * output).sum(1)), weights

    return Of(forward, rnn=gru(bidirectional=True), score=nn.Linear(2 * H, 1, bias=False), fc=head(2 * H)), numbers()


@right
def classes_softmaxed():
    return Of(lambda self, x: self.fc(self.rnn(x)[1][-1]).softmax(1), rnn=gru(), fc=head()), numbers()


@right
def unit_vectors():
    return Of(lambda self, x: F.normalize(self.rnn(x)[1][-1], dim=1), rnn=gru()), numbers()


# ---------------------------------------------------------------- orders of the axes


@right(batch_dim=1)
def time_first():
    return Of(lambda self, x: self.fc(self.rnn(x)[0]), rnn=elman.RNN(I, H), fc=head()), numbers().transpose(0, 1)


@right(batch_dim=1)
def time_first_last_step():
    return Of(lambda self, x: self.fc(self.rnn(x)[0][-1]), rnn=nn.GRU(I, H), fc=head()), numbers().transpose(0, 1)


@right
def transposed_there_and_back():
    return Of(lambda self, x: self.rnn(x.transpose(0, 1))[0].transpose(0, 1), rnn=nn.GRU(I, H)), numbers()


@right
def all_sizes_alike():
    return Of(lambda self, x: self.fc(self.rnn(x)[0][:, -1]), rnn=nn.GRU(4, 4, batch_first=True),
              fc=nn.Linear(4, 4)), numbers(4, 4)  # fmt: skip


@right
def one_sample():
    return Of(lambda self, x: self.fc(self.rnn(x)[1][-1]), rnn=gru(), fc=head()), numbers(1)


@right(batch_dim=None)
def without_a_batch():
    return Of(lambda self, x: self.fc(self.rnn(x)[0]), rnn=elman.RNN(I, H), fc=head()), numbers()[0]


@right
def one_step():
    return Of(lambda self, x: self.fc(self.rnn(x)[0][:, 0]), rnn=gru(), fc=head()), numbers(N, 1)


@right
def logits_in_one_row():
    return Of(lambda self, x: self.fc(self.rnn(self.words(x))[0]).flatten(0, 1), words=nn.Embedding(V, I), rnn=gru(),
              fc=nn.Linear(H, V)), ids()  # fmt: skip


@right
def logits_with_classes_second():
    return Of(lambda self, x: self.fc(self.rnn(x)[0]).transpose(1, 2), rnn=gru(), fc=head()), numbers()


@right
def frames_of_a_film():
    def forward(self, x):
        frames = self.convolution(x.flatten(0, 1)).flatten(1)
        return self.fc(self.rnn(frames.unflatten(0, x.shape[:2]))[0][:, -1])

    return Of(forward, convolution=nn.Conv2d(1, 2, 3), rnn=gru(8), fc=head()), torch.randn(3, 5, 1, 4, 4)


@right
def sentences_of_words():
    def forward(self, x):
        sentences = self.low(self.words(x.flatten(0, 1)))[1][-1]
        return self.fc(self.high(sentences.unflatten(0, x.shape[:2]))[1][-1])

    parts = dict(words=nn.Embedding(V, I), low=gru(), high=gru(H), fc=head())
    return Of(forward, **parts), torch.randint(1, V, (4, 3, 5))


@right
def convolution_in_front():
    def forward(self, x):
        return self.rnn(self.convolution(x.transpose(1, 2)).transpose(1, 2))[0]

    return Of(forward, convolution=nn.Conv1d(I, H, 3, padding=1), rnn=gru(H)), numbers()


# ---------------------------------------------------------------- causal ones


@right(causal=True)
def next_words():
    return Of(lambda self, x: self.fc(self.rnn(self.words(x))[0]), words=nn.Embedding(V, I), rnn=rnn(),
              fc=nn.Linear(H, V)), ids()  # fmt: skip


@right(causal=True)
def next_words_with_tied_weights():
    words = nn.Embedding(V, H)
    fc = nn.Linear(H, V, bias=False)
    fc.weight = words.weight
    return Of(lambda self, x: self.fc(self.rnn(self.words(x))[0]), words=words, rnn=gru(H), fc=fc), ids()


@right(causal=True)
def convolution_padded_on_the_left():
    def forward(self, x):
        return self.rnn(self.convolution(F.pad(x.transpose(1, 2), (2, 0))).transpose(1, 2))[0]

    return Of(forward, convolution=nn.Conv1d(I, H, 3), rnn=gru(H)), numbers()


@right(causal=True)
def attention_with_a_mask():
    def forward(self, x):
        output, _ = self.rnn(x)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        return output + self.attention(output, output, output, attn_mask=later)[0]

    return Of(forward, rnn=gru(), attention=nn.MultiheadAttention(H, 2, batch_first=True)), numbers()


@right(causal=True)
def loss_of_the_next_word():
    def forward(self, x):
        logits = self.fc(self.rnn(self.words(x[:, :-1]))[0])
        return F.cross_entropy(logits.transpose(1, 2), x[:, 1:], reduction="none").mean(1), logits

    return Of(forward, words=nn.Embedding(V, I), rnn=gru(), fc=nn.Linear(H, V)), ids()


@right(causal=True)
def running_mean():
    return Of(lambda self, x: self.fc(self.rnn(x)[0].cumsum(1)), rnn=gru(), fc=head()), numbers()


# ---------------------------------------------------------------- padded ones


@right
def state_of_packed_sequences():
    return with_lengths(lambda self, x, n: self.fc(self.rnn(packed(x, n))[1][-1]), rnn=gru(), fc=head())


@right
def mean_over_the_lengths():
    def forward(self, x, lengths):
        output, _ = pad_packed_sequence(self.rnn(packed(x, lengths))[0], batch_first=True)
        return self.fc(output.sum(1) / lengths[:, None])

    return with_lengths(forward, rnn=gru(), fc=head())


@right
def maximum_over_the_real_steps():
    def forward(self, x, lengths):
        output, _ = self.rnn(x)
        return self.fc(output.masked_fill(~mask_of(lengths, x.shape[1]), -torch.inf).amax(1))

    return with_lengths(forward, rnn=gru(), fc=head())


@right
def attention_over_the_real_steps():
    def forward(self, x, lengths):
        output, _ = self.rnn(x, lengths=lengths)
        score = self.score(output).masked_fill(~mask_of(lengths, x.shape[1]), -torch.inf)
        return self.fc((score.softmax(1) * output).sum(1))

    return with_lengths(forward, rnn=rnn(bidirectional=True), score=nn.Linear(2 * H, 1), fc=head(2 * H))


@right
def step_at_each_end():
    def forward(self, x, lengths):
        return self.fc(self.rnn(x)[0][torch.arange(len(x)), lengths - 1])

    return with_lengths(forward, rnn=gru(), fc=head())


@right
def gathered_at_each_end():
    def forward(self, x, lengths):
        place = (lengths - 1).view(-1, 1, 1).expand(-1, 1, H)
        return self.fc(self.rnn(x)[0].gather(1, place).squeeze(1))

    return with_lengths(forward, rnn=rnn(), fc=head())


@right
def sorted_and_put_back():
    def forward(self, x, lengths):
        lengths, order = lengths.sort(descending=True)
        states = self.rnn(pack_padded_sequence(x[order], lengths.cpu(), batch_first=True))[1][-1]
        return self.fc(states[order.argsort()])

    return with_lengths(forward, rnn=gru(), fc=head())


@right
def tags_of_padded_sequences():
    def forward(self, x, lengths):
        output, _ = pad_packed_sequence(self.rnn(packed(x, lengths))[0], batch_first=True, total_length=x.shape[1])
        return self.fc(output)

    return with_lengths(forward, rnn=gru(bidirectional=True), fc=head(2 * H))


@right
def words_with_a_padding_id():
    def forward(self, x, lengths):
        return self.fc(self.rnn(packed(self.words(x), lengths))[1][-1])

    x = ids() * (torch.arange(T) < torch.tensor(LENGTHS)[:, None])
    model = WithLengths(forward, words=nn.Embedding(V, I, padding_idx=0), rnn=gru(), fc=head())
    return model, x, {"lengths": LENGTHS}


@right
def packed_sequences_as_input():
    return nn.GRU(I, H), packed(numbers(), torch.tensor(LENGTHS))


# ---------------------------------------------------------------- loops, states, and places


@right(causal=True)
def loop_over_a_cell():
    def forward(self, x):
        state, outputs = None, []
        for x_t in x.unbind(1):
            state = self.cell(x_t, state)
            outputs.append(state[0])
        return self.fc(torch.stack(outputs, 1))

    return Of(forward, cell=nn.LSTMCell(I, H), fc=head()), numbers()


@right
def two_cells_in_a_module_list():
    def forward(self, x):
        states = [torch.zeros(len(x), H) for _ in self.cells]
        for x_t in x.unbind(1):
            for k, cell in enumerate(self.cells):
                x_t = states[k] = cell(x_t, states[k])
        return self.fc(x_t)

    return Of(forward, cells=nn.ModuleList([elman.RNNCell(I, H), elman.RNNCell(H, H)]), fc=head()), numbers()


@right
def recurrence_by_hand():
    def forward(self, x):
        h = x.new_zeros(len(x), H)
        for t in range(x.shape[1]):
            h = torch.tanh(self.i2h(torch.cat([x[:, t], h], 1)))
        return self.h2o(h).log_softmax(1)

    return Of(forward, i2h=nn.Linear(I + H, H), h2o=head()), numbers()


@right
def minimal_gated_unit():
    def forward(self, x):
        h, outputs = torch.zeros(len(x), H), torch.zeros(len(x), x.shape[1], H)
        for t, x_t in enumerate(x.unbind(1)):
            f = torch.sigmoid(self.f(torch.cat([x_t, h], 1)))
            h = (1 - f) * h + f * torch.tanh(self.h(torch.cat([x_t, f * h], 1)))
            outputs[:, t] = h
        return outputs

    return Of(forward, f=nn.Linear(I + H, H), h=nn.Linear(I + H, H)), numbers()


@right
def samples_one_after_another():
    """Slow, and right: each starts from a state of its own."""
    return Of(lambda self, x: torch.cat([self.rnn(one[None])[0] for one in x]), rnn=gru()), numbers()


@right
def gradients_truncated_every_few_steps():
    def forward(self, x):
        h, outputs = torch.zeros(1, len(x), H), []
        for piece in x.split(3, 1):
            output, h = self.rnn(piece, h.detach())
            outputs.append(output)
        return self.fc(torch.cat(outputs, 1))

    return Of(forward, rnn=gru(), fc=head()), numbers(N, 9)


@right
def decoder_that_feeds_itself():
    def forward(self, x):
        h = self.encoder(x)[1][-1]
        y, outputs = torch.zeros(len(x), C), []
        for _ in range(4):
            h = self.cell(y, h)
            y = self.fc(h)
            outputs.append(y)
        return torch.stack(outputs, 1)

    return Of(forward, encoder=gru(), cell=nn.GRUCell(C, H), fc=head()), numbers()


@right
def decoder_with_attention():
    def forward(self, x, y):
        memory, h = self.encoder(self.source(x))
        output, _ = self.decoder(self.target(y), h)
        weights = torch.bmm(output, memory.transpose(1, 2)).softmax(-1)
        return self.fc(torch.cat([output, torch.bmm(weights, memory)], -1))

    words = dict(source=nn.Embedding(V, I), target=nn.Embedding(V, I))
    return Of(forward, encoder=gru(), decoder=gru(), fc=nn.Linear(2 * H, V), **words), (ids(), ids(N, 4))


@right
def autoencoder():
    def forward(self, x):
        context = self.encoder(x)[1][-1]
        return self.fc(self.decoder(context[:, None].expand(-1, x.shape[1], -1))[0])

    return Of(forward, encoder=gru(), decoder=gru(H), fc=nn.Linear(H, I)), numbers()


@right
def noise_in_training_alone():
    def forward(self, x):
        h = self.rnn(x)[1][-1]
        mean, spread = self.mean(h), self.spread(h)
        return mean + spread.exp() * torch.randn_like(mean) if self.training else mean, spread

    return Of(forward, rnn=gru(), mean=head(), spread=head()), numbers()


@right
def one_mask_of_dropout_for_all_steps():
    def forward(self, x):
        mask = F.dropout(torch.ones(len(x), 1, I), 0.3, self.training)
        return self.fc(F.dropout(self.rnn(x * mask)[0], 0.3, self.training))

    return Of(forward, rnn=gru(), fc=head()), numbers()


@right
def learned_first_state():
    def forward(self, x):
        return self.fc(self.rnn(x, self.h_0.expand(-1, len(x), -1).contiguous())[0])

    return Of(forward, rnn=rnn(), h_0=nn.Parameter(torch.randn(1, 1, H)), fc=head()), numbers()


@right
def zeros_that_ask_for_a_gradient():
    """An old habit, needless and harmless."""

    def forward(self, x):
        return self.fc(self.rnn(x, torch.zeros(1, len(x), H).requires_grad_())[0][:, -1])

    return Of(forward, rnn=gru(), fc=head()), numbers()


@right
def state_handed_in():
    return nn.GRU(I, H, 2, batch_first=True), (numbers(), torch.randn(2, N, H))


@right
def stateful_with_a_reset():
    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.h = gru(), None

        def reset(self) -> None:
            self.h = None

        def forward(self, x: Tensor) -> Tensor:
            output, h = self.rnn(x, self.h)
            self.h = h.detach()
            return output

    return Stateful(), numbers()


@right
def positions_along_time():
    def forward(self, x):
        return self.rnn(self.words(x) + self.place(torch.arange(x.shape[1])))[0]

    return Of(forward, words=nn.Embedding(V, I), place=nn.Embedding(50, I), rnn=gru()), ids()


@right
def clock_along_time():
    def forward(self, x):
        clock = torch.linspace(0, 1, x.shape[1]).view(1, -1, 1).expand(len(x), -1, 1)
        return self.rnn(torch.cat([x, clock], -1))[0]

    return Of(forward, rnn=gru(I + 1)), numbers()


# ---------------------------------------------------------------- layers beside, and what comes back


@right
def batch_norm_over_the_features():
    def forward(self, x):
        return self.rnn(self.norm(x.transpose(1, 2)).transpose(1, 2))[0]

    return Of(forward, norm=nn.BatchNorm1d(I), rnn=gru()), numbers()


@right
def layer_norm_and_a_way_around():
    return Of(lambda self, x: x + self.norm(self.rnn(x)[0]), rnn=nn.GRU(I, I, batch_first=True),
              norm=nn.LayerNorm(I)), numbers()  # fmt: skip


@right
def standardised_sample_by_sample():
    def forward(self, x):
        return self.rnn((x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-5))[0]

    return Of(forward, rnn=gru()), numbers()


@right
def transformer_layer_behind():
    return Of(lambda self, x: self.attend(self.rnn(x)[0]), rnn=gru(),
              attend=nn.TransformerEncoderLayer(H, 2, 8, batch_first=True)), numbers()  # fmt: skip


@right
def frozen_embedding():
    words = nn.Embedding.from_pretrained(torch.randn(V, I))
    return Of(lambda self, x: self.fc(self.rnn(self.words(x))[1][-1]), words=words, rnn=gru(), fc=head()), ids()


@right
def reservoir_with_fixed_weights():
    def forward(self, x):
        h = torch.zeros(len(x), H)
        for x_t in x.unbind(1):
            h = 0.7 * h + 0.3 * torch.tanh(x_t @ self.w_in + h @ self.w)
        return self.fc(h)

    model = Of(forward, fc=head())
    model.register_buffer("w_in", torch.randn(I, H))
    model.register_buffer("w", 0.2 * torch.randn(H, H))
    return model, numbers()


@right
def two_heads_in_a_dict():
    def forward(self, x):
        output, h = self.rnn(x)
        return {"tags": self.tags(output), "class": self.fc(h[-1])}

    return Of(forward, rnn=rnn(), tags=head(), fc=head()), numbers()


@right
def a_dataclass_comes_back():
    @dataclass
    class Answer:
        logits: Tensor
        states: tuple[Tensor, ...]

    return Of(lambda self, x: Answer(self.fc(self.rnn(x)[0]), (self.rnn(x)[1],)), rnn=gru(), fc=head()), numbers()


@right
def two_inputs_through_one_layer():
    def forward(self, a, b):
        return (self.rnn(a)[1][-1] - self.rnn(b)[1][-1]).abs().sum(1)

    return Of(forward, rnn=rnn()), (numbers(), numbers(N, 4))


# ---------------------------------------------------------------- samples that are compared


def _unit(states: Tensor) -> Tensor:
    return F.normalize(states, dim=-1)


@right
def similarities_of_two_views():
    def forward(self, x, y):
        return _unit(self.rnn(x)[1][-1]) @ _unit(self.rnn(y)[1][-1]).T

    return Of(forward, rnn=gru()), (numbers(), numbers())


@right
def contrastive_loss_of_each_sample():
    def forward(self, x):
        states = _unit(self.rnn(x)[1][-1])
        return F.cross_entropy(states @ states.T / 0.1, torch.arange(len(x)).flip(0), reduction="none")

    return Of(forward, rnn=gru()), numbers()


@right
def distances_of_all_pairs():
    def forward(self, x):
        states = self.rnn(x)[1][-1]
        return (states[:, None] - states[None]).abs().sum(-1)

    return Of(forward, rnn=rnn()), numbers()


# ---------------------------------------------------------------- few steps at a time, by design


@right
def one_step_whose_state_is_handed_back():
    def forward(self, x, state=None):
        output, state = self.rnn(x.unsqueeze(1), state)
        return self.fc(output[:, 0]), state

    return Of(forward, rnn=gru(), fc=head()), torch.randn(N, I)


@right
def parts_read_apart_and_joined():
    def forward(self, x):
        parts = torch.stack([self.lower(part)[1][-1] for part in x.split(2, 1)], 1)
        return self.fc(self.upper(parts)[1][-1])

    return Of(forward, lower=gru(), upper=gru(H), fc=head()), numbers(steps=8)


@right
def two_layers_turned_back():
    def forward(self, x):
        return self.fc(torch.cat([self.there(x)[0], self.back(x.flip(1))[0].flip(1)], -1))

    return Of(forward, there=gru(), back=gru(), fc=head(2 * H)), numbers()


@right
def ends_of_two_layers():
    def forward(self, x):
        return self.fc(torch.cat([self.there(x)[0], self.back(x.flip(1))[0]], -1)[:, -1])

    return Of(forward, there=gru(), back=gru(), fc=head(2 * H)), numbers()


# ---------------------------------------------------------------- what starts at zero, and what another sequence reads


@right
def two_sequences_of_other_lengths():
    def forward(self, x, y):
        return self.fc(self.there(x)[0][:, :, None] + self.here(y)[0][:, None])

    return Of(forward, there=gru(), here=gru(), fc=head()), (numbers(), numbers(steps=3))


@right
def residual_branch_that_starts_at_zero():
    def forward(self, x):
        output, _ = self.rnn(x)
        return self.fc(output + self.gain * self.branch(output)[0])

    return Of(forward, rnn=gru(), branch=gru(H), gain=nn.Parameter(torch.zeros(1)), fc=head()), numbers()


@right
def written_into_a_copy():
    def forward(self, x):
        x = x.clone()
        x[:, 0] = 0
        return self.fc(self.rnn(x)[0])

    return Of(forward, rnn=rnn(), fc=head()), numbers()


@right
def one_step_decoded_from_what_was_read():
    def forward(self, x):
        return self.fc(self.decoder(self.rnn(x)[1][-1].unsqueeze(1))[0][:, 0])

    return Of(forward, rnn=gru(), decoder=gru(H), fc=head()), numbers()


@right
def decoder_stepped_through_another_argument():
    def forward(self, source, target):
        _, (h, _) = self.encoder(self.embedding(source))
        state, outputs = (h, torch.zeros_like(h)), []  # h alone starts the decoder
        for step in self.embedding(target).split(1, 1):
            output, state = self.decoder(step, state)
            outputs.append(self.fc(output))
        return torch.cat(outputs, 1)

    layers = dict(encoder=nn.LSTM(I, H, batch_first=True), decoder=nn.LSTM(I, H, batch_first=True))
    return Of(forward, embedding=nn.Embedding(V, I), **layers, fc=nn.Linear(H, V)), (ids(), ids(steps=4))


@right
def one_lstm_that_reads_two_sequences_apart():
    def forward(self, x, y):
        return self.fc(torch.cat([self.rnn(one)[1][0][-1] for one in (x, y, x.flip(1))], -1))

    rnn = nn.LSTM(I, H, batch_first=True)
    return Of(forward, rnn=rnn, fc=head(3 * H)), (numbers(), numbers(steps=3))


@right
def state_of_a_cell_kept_where_a_sequence_has_ended():
    def forward(self, x, lengths):
        h = c = x.new_zeros(len(x), H)
        for t, x_t in enumerate(x.unbind(1)):
            going = (t < lengths)[:, None]
            h, c = (torch.where(going, new, old) for new, old in zip(self.cell(x_t, (h, c)), (h, c), strict=True))
        return self.fc(h)

    return with_lengths(forward, cell=nn.LSTMCell(I, H), fc=head())


@right
def decoder_whose_gate_to_the_encoder_starts_at_zero():
    def forward(self, source, target):
        _, state = self.encoder(self.embedding(source))
        return self.fc(self.decoder(self.embedding(target), self.gain * state)[0])

    layers = dict(encoder=gru(), decoder=gru(), gain=nn.Parameter(torch.zeros(1)))
    return Of(forward, embedding=nn.Embedding(V, I), **layers, fc=nn.Linear(H, V)), (ids(), ids(steps=4))


@right
def channels_turned_into_features():
    def forward(self, x):
        y = torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        return self.fc(self.rnn(y.reshape(len(x), -1, 9))[0][:, -1])

    return Of(forward, conv=nn.Conv1d(I, 9, 3), rnn=gru(9), fc=head()), numbers()


@right
def steps_halved_into_twice_as_many():
    def forward(self, x):
        return self.fc(self.rnn(self.wide(x).view(len(x), 8, 2))[0])

    return Of(forward, wide=nn.Linear(I, 4), rnn=gru(2), fc=head()), numbers(steps=4)


@right
def learned_first_state_viewed_into_shape():
    def forward(self, x):
        return self.fc(self.rnn(x, self.first.view(1, 1, H).expand(1, len(x), H).contiguous())[0])

    return Of(forward, rnn=gru(), first=nn.Parameter(torch.randn(H, 1)), fc=head()), numbers()


# ---------------------------------------------------------------- what is handed on, left unread, or cut into parts


@right
def choice_of_a_decoder_that_its_last_step_leaves_unread():
    def forward(self, x):
        word, h, outputs = x[:, 0], self.encoder(x)[1][-1], []
        for _ in range(4):
            h = self.decoder(word, h)
            outputs.append(self.fc(h))
            word = self.words(outputs[-1].argmax(-1))
        return torch.stack(outputs, 1)

    return Of(forward, encoder=gru(), decoder=nn.GRUCell(I, H), words=nn.Embedding(C, I), fc=head()), numbers()


@right
def weights_of_several_hops_handed_back():
    def forward(self, x):
        output, _ = self.rnn(x)
        weights = self.score(output).softmax(1)
        return self.fc((weights.transpose(1, 2) @ output).flatten(1)), weights

    return Of(forward, rnn=gru(), score=nn.Linear(H, 3), fc=head(3 * H)), numbers()


@right
def clusters_that_steps_belong_to():
    def forward(self, x):
        output, _ = self.rnn(x)
        belong = self.cluster(output).softmax(-1)
        return self.fc((belong.transpose(1, 2) @ output).flatten(1))

    return Of(forward, rnn=gru(), cluster=nn.Linear(H, 2), fc=head(2 * H)), numbers()


@right
def probabilities_averaged_over_the_real_steps():
    def forward(self, x, lengths):
        mask = mask_of(lengths, x.shape[1])
        return (self.fc(self.rnn(x)[0]).softmax(-1) * mask).sum(1) / lengths[:, None]

    return with_lengths(forward, rnn=gru(), fc=head())


@right
def contrastive_loss_of_two_arguments():
    def forward(self, x, y):
        one, other = (_unit(self.rnn(z)[1][-1]) for z in (x, y))
        return F.cross_entropy(one @ other.T, torch.arange(len(x)), reduction="none")

    return Of(forward, rnn=gru()), (numbers(), numbers(N, 3))


@right
def loss_of_targets_flattened_alike():
    def forward(self, x, y):
        return F.cross_entropy(self.fc(self.rnn(x)[0]).flatten(0, 1), y.flatten())

    return Of(forward, rnn=gru(), fc=head()), (numbers(), torch.randint(C, (N, T)))


@right
def parts_folded_into_the_batch():
    def forward(self, x):
        parts = self.low(x.reshape(-1, 4, I))[1][-1].view(len(x), -1, H)
        return self.fc(self.high(parts)[0][:, -1])

    return Of(forward, low=gru(), high=gru(H), fc=head()), numbers(4, 12)


@right
def heads_split_and_transposed():
    def forward(self, x):
        query = self.query(self.rnn(x)[0]).view(len(x), -1, 2, H // 2).transpose(1, 2)
        weights = (query @ query.transpose(-1, -2)).softmax(-1)
        return self.fc((weights @ query).transpose(1, 2).flatten(2))

    return Of(forward, rnn=gru(), query=nn.Linear(H, H), fc=head()), numbers()


@right
def two_loops_side_by_side():
    def forward(self, x):
        there = back = torch.zeros(len(x), H)
        outputs = [], []
        for x_t in x.unbind(1):
            outputs[0].append(there := self.there(x_t, there))
        for x_t in reversed(x.unbind(1)):
            outputs[1].insert(0, back := self.back(x_t, back))
        return self.fc(torch.cat([torch.stack(steps, 1) for steps in outputs], -1))

    return Of(forward, there=nn.GRUCell(I, H), back=nn.GRUCell(I, H), fc=head(2 * H)), numbers()


@right
def targets_that_are_fed_in_training_alone():
    def forward(self, x, y):
        h, fed, outputs = self.encoder(x)[1][-1], torch.zeros(len(x), C), []
        for y_t in y.unbind(1):
            h = self.decoder(fed, h)
            outputs.append(self.fc(h))
            fed = y_t if self.training else outputs[-1]
        return torch.stack(outputs, 1)

    return Of(forward, encoder=gru(), decoder=nn.GRUCell(C, H), fc=head()), (numbers(), torch.randn(N, 4, C))


@right
def state_of_both_directions_joined_for_a_stack():
    def forward(self, x):
        _, h = self.encoder(x)
        h = h.view(2, 2, len(x), H)
        return self.fc(self.decoder(x, torch.cat([h[:, 0], h[:, 1]], -1))[0])

    decoder = nn.GRU(I, 2 * H, 2, batch_first=True)
    return Of(forward, encoder=gru(num_layers=2, bidirectional=True), decoder=decoder, fc=head(2 * H)), numbers()


@right
def output_unpacked_and_state_taken():
    def forward(self, x, lengths):
        output, h = self.rnn(packed(x, lengths))
        output, _ = pad_packed_sequence(output, batch_first=True)
        return self.fc(h[-1])

    return with_lengths(forward, rnn=gru(), fc=head())


@right
def language_model_with_its_loss_and_a_first_step_of_zeros():
    def forward(self, x):
        fed = F.pad(x[:, :-1], (1, 0))
        return F.cross_entropy(self.fc(self.rnn(self.words(fed))[0]).flatten(0, 1), x.flatten())

    return Of(forward, words=nn.Embedding(V, I), rnn=gru(), fc=nn.Linear(H, V)), ids()


@right
def tagger_with_its_loss_that_ignores_padding():
    def forward(self, x, tags, lengths):
        output, _ = pad_packed_sequence(self.rnn(packed(x, lengths))[0], batch_first=True)
        tags = tags.masked_fill(~mask_of(lengths, x.shape[1])[..., 0], -100)
        return F.cross_entropy(self.fc(output).flatten(0, 1), tags.flatten())

    call = numbers(), torch.randint(C, (N, T)), torch.tensor(LENGTHS)
    return Of(forward, rnn=gru(), fc=head()), call, {"lengths": LENGTHS}


@right
def error_of_rates_that_are_never_negative():
    def forward(self, x, y):
        return F.mse_loss(self.fc(self.rnn(x)[0]).relu().squeeze(-1), y)

    return Of(forward, rnn=gru(), fc=nn.Linear(H, 1)), (numbers(), torch.rand(N, T))


@right
def attention_over_the_encoder_at_every_turn():
    def forward(self, x):
        encoded, h = self.encoder(x)
        h, outputs = h[-1], []
        for _ in range(4):
            pairs = torch.cat([h.unsqueeze(1).expand_as(encoded), encoded], 2)
            weights = self.score(pairs).squeeze(2).softmax(1)
            h = self.decoder(torch.bmm(weights.unsqueeze(1), encoded).squeeze(1), h)
            outputs.append(h)
        return self.fc(torch.stack(outputs, 1))

    return Of(forward, encoder=gru(), score=nn.Linear(2 * H, 1), decoder=nn.GRUCell(H, H), fc=head()), numbers()


@right
def cell_that_reads_the_state_it_returned():
    def forward(self, x):
        h, outputs = self.encoder(x)[1][-1], []
        read = h
        for _ in range(4):
            h = read = self.decoder(read, h)
            outputs.append(h)
        return self.fc(torch.stack(outputs, 1))

    return Of(forward, encoder=gru(), decoder=nn.GRUCell(H, H), fc=head()), numbers()
