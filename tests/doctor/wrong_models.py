"""Eighty-nine small models with one mistake each, of the kinds that learners and published code make."""

from typing import Any

import torch
import torch.nn.functional as F
from collected import LENGTHS, C, Case, H, I, N, Of, T, V, WithLengths, ids, numbers, padded
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman

WRONG: dict[str, Case] = {}


def wrong(code: str, cause: str, **options: Any) -> Any:
    """The function makes a model and its input; the doctor should find `code`, with `cause` in its words."""

    def keep(make: Any) -> Any:
        WRONG[make.__name__] = Case(make, code, cause, options)
        return make

    return keep


def gru(**options: Any) -> elman.GRU:
    return elman.GRU(I, H, batch_first=True, **options)


def head(width: int = H) -> nn.Linear:
    return nn.Linear(width, C)


def packed(x: Tensor, lengths: Tensor, **options: Any) -> Any:
    return pack_padded_sequence(x, lengths.cpu(), batch_first=True, **{"enforce_sorted": False, **options})


# ---------------------------------------------------------------- samples that meet


@wrong("batch-mixed", r"softmax\(0\).*runs over the samples")
def classes_softmaxed_over_the_batch():
    return Of(lambda self, x: self.fc(self.rnn(x)[1][-1]).softmax(0), rnn=gru(), fc=head()), numbers()


@wrong("batch-mixed", r"log_softmax.*runs over the samples")
def tags_log_softmaxed_over_the_batch():
    return Of(lambda self, x: F.log_softmax(self.fc(self.rnn(x)[0]), dim=0), rnn=gru(), fc=head()), numbers()


@wrong("batch-mixed", r"nn\.Softmax\(dim=0\)|self\.softmax|softmax.*runs over the samples")
def attention_weights_over_the_batch():
    def forward(self, x):
        output, _ = self.rnn(x)
        weights = self.softmax(self.score(output))
        return self.fc((weights * output).sum(1))

    return Of(forward, rnn=gru(), score=nn.Linear(H, 1), softmax=nn.Softmax(dim=0), fc=head()), numbers()


@wrong("batch-mixed", r"einsum.*multiplies numbers of different samples")
def context_summed_over_other_samples():
    def forward(self, x):
        output, _ = self.rnn(x)
        weights = self.score(output).squeeze(-1).softmax(1)
        return self.fc(torch.einsum("nth,mt->nh", output, weights))

    return Of(forward, rnn=gru(), score=nn.Linear(H, 1), fc=head()), numbers()


@wrong("batch-mixed", r"broadcasts \(5, 1\) and \(5\,?\) to \(5, 5\)")
def residual_of_another_shape():
    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1]) + x[:, -1, 0]

    return Of(forward, rnn=gru(), fc=nn.Linear(H, 1)), numbers()


@wrong("batch-mixed", r"std\(0\)|mean\(0\)|mean\(dim=0\)")
def standardised_with_the_batch():
    return Of(lambda self, x: self.rnn((x - x.mean(dim=0)) / 2)[0], rnn=gru()), numbers()


@wrong("batch-mixed", r"normalize.*runs over the samples")
def states_normalised_over_the_batch():
    return Of(lambda self, x: self.fc(F.normalize(self.rnn(x)[1][-1], dim=0)), rnn=gru(), fc=head()), numbers()


@wrong("batch-mixed", r"cumsum\(0\).*runs over the samples")
def sums_that_run_over_the_batch():
    return Of(lambda self, x: self.fc(self.rnn(x)[0].cumsum(0)), rnn=gru(), fc=head()), numbers()


@wrong("batch-mixed", r"view\(T, N, I\)|view\(x\.shape\[1\], x\.shape\[0\], -1\)")
def viewed_into_time_first():
    def forward(self, x):
        return self.fc(self.rnn(x.view(x.shape[1], x.shape[0], -1))[0][-1])

    return Of(forward, rnn=nn.LSTM(I, H), fc=head()), numbers()


@wrong("batch-lost", r"view\(x\.shape\[0\], x\.shape\[1\], -1\)")
def steps_stacked_in_front_and_viewed():
    def forward(self, x):
        h, outputs = torch.zeros(x.shape[0], H), []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            outputs.append(h)
        return self.fc(torch.stack(outputs).view(x.shape[0], x.shape[1], -1))

    return Of(forward, cell=elman.RNNCell(I, H), fc=head()), numbers()


@wrong("batch-mixed", r"view\(len\(x\), x\.shape\[1\], H\)")
def context_repeated_and_viewed():
    def forward(self, x):
        context = self.rnn(x)[1][-1]
        return self.decoder(context.repeat(x.shape[1], 1).view(len(x), x.shape[1], H))[0]

    return Of(forward, rnn=gru(), decoder=nn.GRU(H, H, batch_first=True)), numbers()


@wrong("batch-mixed", r"reshape\(x\.shape\[0\], -1\)")
def time_first_output_reshaped_to_rows():
    def forward(self, x):
        output, _ = self.rnn(x.transpose(0, 1))
        return self.fc(output.reshape(x.shape[0], -1))

    return Of(forward, rnn=elman.RNN(I, H), fc=head(T * H)), numbers()


@wrong("batch-mixed", "batch_first=True would fit")
def batch_first_forgotten():
    return Of(lambda self, x: self.fc(self.rnn(x)[0]), rnn=nn.LSTM(I, H, 2), fc=head()), numbers()


@wrong("batch-mixed", "batch_first=True would fit")
def batch_first_forgotten_over_words():
    def forward(self, x):
        return self.fc(self.rnn(self.words(x))[0])

    return Of(forward, words=nn.Embedding(V, I), rnn=elman.RNN(I, H), fc=nn.Linear(H, V)), ids()


@wrong("batch-mixed", "batch_first=False would fit")
def permuted_for_a_layer_that_is_batch_first():
    return Of(lambda self, x: self.rnn(x.permute(1, 0, 2))[0].permute(1, 0, 2), rnn=gru()), numbers()


@wrong("batch-mixed", "batch_first=True would fit")
def attention_that_is_time_first():
    def forward(self, x):
        output, _ = self.rnn(x)
        return self.attention(output, output, output)[0]

    return Of(forward, rnn=gru(), attention=nn.MultiheadAttention(H, 2)), numbers()


@wrong("batch-mixed", "hand the state to the next sample")
def one_state_for_all_samples():
    def forward(self, x):
        h, outputs = None, []
        for sequence in x:
            output, h = self.rnn(sequence[None], h)
            outputs.append(output)
        return torch.cat(outputs)

    return Of(forward, rnn=elman.RNN(I, H, batch_first=True)), numbers()


@wrong("batch-mixed", "runs over the batch")
def a_loop_by_hand_over_the_rows():
    def forward(self, x):
        h, outputs = torch.zeros(x.shape[1], H), []
        for row in x:
            h = torch.tanh(self.i2h(torch.cat([row, h], -1)))
            outputs.append(self.h2o(h))
        return torch.stack(outputs)

    return Of(forward, i2h=nn.Linear(I + H, H), h2o=head()), numbers()


@wrong("batch-mixed", "runs over the batch")
def a_cell_over_the_rows():
    def forward(self, x):
        state, outputs = None, []
        for n in range(x.size(0)):
            state = self.cell(x[n], state)
            outputs.append(state[0])
        return self.fc(torch.stack(outputs))

    return Of(forward, cell=nn.LSTMCell(I, H), fc=head()), numbers()


# ---------------------------------------------------------------- samples that are lost, or elsewhere


@wrong("batch-lost", r"\[-1\].*takes one of the samples")
def last_of_the_batch():
    return Of(lambda self, x: self.fc(self.rnn(x)[0][-1]), rnn=nn.LSTM(I, H, batch_first=True), fc=head()), numbers()


@wrong("batch-lost", r"\[:, -1\].*takes one of the samples")
def transposed_where_sizes_agree():
    def forward(self, x):
        return self.fc(self.rnn(x)[0].transpose(0, 1)[:, -1])

    return Of(forward, rnn=gru(), fc=head()), numbers(6, 6)


@wrong("batch-lost", "packed sequence's data")
def last_rows_of_packed_data():
    def forward(self, x, lengths):
        output, _ = self.rnn(packed(x, lengths))
        return self.fc(output.data[-len(x) :])

    return WithLengths(forward, rnn=gru(), fc=head()), padded(), {"lengths": LENGTHS}


@wrong("batch-order", r"flip\(0\)")
def turned_round_in_the_batch():
    def forward(self, x):
        return self.fc(self.rnn(x.flip(0))[1][-1])

    return Of(forward, rnn=gru(), fc=head()), numbers()


@wrong("batch-order", "roll")
def shifted_in_the_batch():
    return Of(lambda self, x: self.fc(self.rnn(x.roll(1, 0))[0]), rnn=gru(), fc=head()), numbers()


@wrong("batch-order", "inverse permutation|enforce_sorted=False")
def sorted_and_never_put_back():
    def forward(self, x, lengths):
        lengths, order = lengths.sort(descending=True)
        return self.fc(self.rnn(packed(x[order], lengths, enforce_sorted=True))[1][-1])

    return WithLengths(forward, rnn=gru(), fc=head()), padded(), {"lengths": LENGTHS}


@wrong("batch-position", r"arange\(len\(x\)\)|self\.place")
def positions_along_the_batch():
    def forward(self, x):
        return self.rnn(self.words(x) + self.place(torch.arange(len(x)))[:, None])[0]

    return Of(forward, words=nn.Embedding(V, I), place=nn.Embedding(50, I), rnn=gru()), ids()


@wrong("batch-position", "linspace|clock")
def time_that_runs_over_the_batch():
    def forward(self, x):
        clock = torch.linspace(0, 1, x.shape[0]).view(-1, 1, 1).expand(-1, x.shape[1], 1)
        return self.fc(self.rnn(torch.cat([x, clock], -1))[0])

    return Of(forward, rnn=nn.GRU(I + 1, H, batch_first=True), fc=head()), numbers()


@wrong("h_n-as-batch", r"view\(len\(x\), -1\)")
def states_viewed_as_rows():
    def forward(self, x):
        _, (h_n, _) = self.rnn(x)
        return self.fc(h_n.view(len(x), -1))

    return Of(forward, rnn=nn.LSTM(I, H, 2, batch_first=True), fc=head(2 * H)), numbers()


@wrong("h_n-as-batch", r"h_n\[:, -1\]")
def last_sample_of_the_states():
    def forward(self, x):
        _, h_n = self.rnn(x)
        return self.fc(h_n[:, -1])

    return Of(forward, rnn=elman.RNN(I, H, 3, batch_first=True), fc=head()), numbers()


@wrong("h_n-as-batch", r"reshape\(-1, 2 \* H\)")
def two_directions_reshaped_as_rows():
    def forward(self, x):
        _, h_n = self.rnn(x)
        return self.fc(h_n.reshape(-1, 2 * H))

    return Of(forward, rnn=gru(bidirectional=True), fc=head(2 * H)), numbers()


# ---------------------------------------------------------------- steps that are not read, or should not be


@wrong("padding-read", r"`output\.mean\(1\)` .* whose zeros count.*lengths\[:, None\]")
def mean_over_unpacked_zeros():
    def forward(self, x, lengths):
        output, _ = pad_packed_sequence(self.rnn(packed(x, lengths))[0], batch_first=True)
        return self.fc(output.mean(1))

    return WithLengths(forward, rnn=gru(), fc=head()), padded(), {"lengths": LENGTHS}


@wrong("padding-read", r"softmax\(1\)` .* gives the padded steps a share.*before the softmax")
def attention_over_elmans_zeros():
    def forward(self, x, lengths):
        output, _ = self.rnn(x, lengths=lengths)
        weights = self.score(output).softmax(1)
        return self.fc((weights * output).sum(1))

    model = WithLengths(forward, rnn=elman.RNN(I, H, batch_first=True), score=nn.Linear(H, 1), fc=head())
    return model, padded(), {"lengths": LENGTHS}


@wrong("padding-read", "Tell the layer the lengths")
def lengths_that_nobody_reads():
    def forward(self, x, lengths):
        return self.fc(self.rnn(x)[1][-1])

    return WithLengths(forward, rnn=gru(), fc=head()), padded(), {"lengths": LENGTHS}


@wrong("lengths-mismatched", "lengths of other samples")
def lengths_sorted_and_sequences_not():
    def forward(self, x, lengths):
        lengths, _ = lengths.sort(descending=True)
        return self.fc(self.rnn(packed(x, lengths, enforce_sorted=True))[1][-1])

    return WithLengths(forward, rnn=gru(), fc=head()), padded(), {"lengths": LENGTHS}


@wrong("lengths-mismatched", "lengths of other samples")
def sequences_sorted_and_lengths_not():
    def forward(self, x, lengths):
        order = lengths.argsort(descending=True)
        return self.fc(self.rnn(x[order], lengths=lengths)[1][-1][order.argsort()])

    return WithLengths(forward, rnn=elman.RNN(I, H, batch_first=True), fc=head()), padded(), {"lengths": LENGTHS}


@wrong("last-step-unread", "lengths - 1")
def index_of_the_end_off_by_one():
    def forward(self, x, lengths):
        return self.fc(self.rnn(x)[0][torch.arange(len(x)), (lengths - 2).clamp(min=0)])

    return WithLengths(forward, rnn=gru(), fc=head()), padded(), {"lengths": LENGTHS}


@wrong("last-step-unread", r"range\(T - 1\)")
def loop_that_ends_early():
    def forward(self, x):
        h = torch.zeros(len(x), H)
        for t in range(x.shape[1] - 1):
            h = self.cell(x[:, t], h)
        return self.fc(h)

    return Of(forward, cell=nn.GRUCell(I, H), fc=head()), numbers()


@wrong("two-direction-last-step", r"torch\.cat\(\[h_n\[-2\], h_n\[-1\]\], -1\)")
def last_step_of_both_directions():
    def forward(self, x):
        return self.fc(self.rnn(self.words(x))[0][:, -1, :])

    rnn = elman.LSTM(I, H, batch_first=True, bidirectional=True)
    return Of(forward, words=nn.Embedding(V, I), rnn=rnn, fc=head(2 * H)), ids()


@wrong("not-causal", "bidirectional=True", causal=True)
def next_words_from_both_sides():
    def forward(self, x):
        return self.fc(self.rnn(self.words(x))[0])

    return Of(forward, words=nn.Embedding(V, I), rnn=gru(bidirectional=True), fc=nn.Linear(2 * H, V)), ids()


# ---------------------------------------------------------------- what is drawn, carried, or never learned


@wrong("random-in-evaluation", "training=self.training")
def dropout_that_never_ends():
    return Of(lambda self, x: self.fc(F.dropout(self.rnn(x)[0], 0.3)), rnn=gru(), fc=head()), numbers()


@wrong("random-in-evaluation", r"Make nn\.Dropout once")
def dropout_made_anew():
    return Of(lambda self, x: self.fc(nn.Dropout(0.5)(self.rnn(x)[1][-1])), rnn=gru(), fc=head()), numbers()


@wrong("random-in-evaluation", "h_0 = None")
def random_first_state():
    def forward(self, x):
        return self.fc(self.rnn(x, torch.randn(1, len(x), H))[1][-1])

    return Of(forward, rnn=elman.RNN(I, H, batch_first=True), fc=head()), numbers()


@wrong("made-in-forward", r"class Linear is made anew.*`nn\.Linear\(H, C\)`.*in __init__: self\.layer = Linear")
def head_made_in_forward():
    return Of(lambda self, x: nn.Linear(H, C)(self.rnn(x)[1][-1]), rnn=gru()), numbers()


@wrong("state-carried", "detach it and give the model a reset")
def state_kept_for_the_next_batch():
    def forward(self, x):
        output, h = self.rnn(x, self.h)
        self.h = h.detach()
        return self.fc(output[:, -1])

    return Of(forward, rnn=gru(), fc=head(), h=None), numbers()


@wrong("state-detached", r"detach\(\)")
def detached_at_every_step():
    def forward(self, x):
        h = torch.zeros(len(x), H)
        for x_t in x.unbind(1):
            h = self.cell(x_t, h.detach())
        return self.fc(h)

    return Of(forward, cell=elman.RNNCell(I, H), fc=head()), numbers()


@wrong("state-detached", r"\.data")
def data_of_the_state_handed_on():
    def forward(self, x):
        h, outputs = None, []
        for word in self.words(x).split(1, 1):
            output, h = self.rnn(word, h)
            h = h.data
            outputs.append(self.fc(output))
        return torch.cat(outputs, 1)

    return Of(forward, words=nn.Embedding(V, I), rnn=gru(), fc=nn.Linear(H, V)), ids()


@wrong("not-registered", r"cells\[0\]\.weight_ih|nn\.ModuleList")
def cells_in_a_plain_list():
    def forward(self, x):
        states = [torch.zeros(len(x), H) for _ in self.cells]
        for x_t in x.unbind(1):
            for k, cell in enumerate(self.cells):
                x_t = states[k] = cell(x_t, states[k])
        return self.fc(states[-1])

    return Of(forward, cells=[nn.GRUCell(I, H), nn.GRUCell(H, H)], fc=head()), numbers()


@wrong("not-registered", r"W\['hh'\]|nn\.Parameter")
def weights_in_a_dict():
    def forward(self, x):
        h = torch.zeros(len(x), H)
        for x_t in x.unbind(1):
            h = torch.tanh(self.i2h(x_t) + h @ self.W["hh"])
        return self.fc(h)

    W = {"hh": (0.3 * torch.randn(H, H)).requires_grad_()}
    return Of(forward, i2h=nn.Linear(I, H), W=W, fc=head()), numbers()


@wrong("no-gradient", r"not h_n\[0\]")
def first_layers_state_of_three():
    return Of(lambda self, x: self.fc(self.rnn(x)[1][0]), rnn=gru(num_layers=3), fc=head()), numbers()


@wrong("no-gradient", "detach|no_grad")
def features_without_gradient():
    def forward(self, x):
        with torch.no_grad():
            features = self.rnn(x)[0]
        return self.fc(features)

    return Of(forward, rnn=gru(), fc=head()), numbers()


@wrong("input-uninitialised", "uninitialised memory")
def memory_that_nobody_wrote():
    x = numbers()
    x[0, 1, 2], x[2, 3, 0], x[4, 0, 1] = -7.6638e22, 3.0478e32, 4.5720e-41
    return elman.RNN(I, H, batch_first=True), x


# ---------------------------------------------------------------- nothing carried from step to step


@wrong("no-memory", r"without the state of the step before.*h = cell\(x_t, h\)")
def cell_called_without_its_state():
    def forward(self, x):
        return torch.stack([self.fc(self.cell(x_t)) for x_t in x.unbind(1)], 1)

    return Of(forward, cell=nn.GRUCell(I, H), fc=head()), numbers()


@wrong("no-memory", r"\(35, 1, 4\), each from a state of zeros")
def every_step_a_sequence_of_its_own():
    def forward(self, x):
        return self.fc(self.rnn(x.reshape(-1, 1, I))[0]).view(x.shape[0], x.shape[1], -1)

    return Of(forward, rnn=nn.LSTM(I, H, batch_first=True), fc=head()), numbers()


@wrong("no-memory", r"\(5, 1, 7\).*x\.unsqueeze\(-1\).*not x\.unsqueeze\(1\)")
def series_as_the_features_of_one_step():
    def forward(self, x):
        return self.fc(self.rnn(x.unsqueeze(1))[1][-1])

    return Of(forward, rnn=elman.GRU(T, H, batch_first=True), fc=head()), torch.randn(N, T)


@wrong("no-memory", r"reads the sequence in 4 parts and starts each anew.*output, state = layer\(part, state\)")
def state_made_anew_for_each_part():
    def forward(self, x):
        for part in x.split(2, 1):
            output, _ = self.rnn(part, torch.zeros(1, len(x), H))
        return self.fc(output[:, -1])

    return Of(forward, rnn=elman.GRU(I, H, batch_first=True), fc=head()), numbers(steps=8)


@wrong("no-memory", r"reads the sequence in 7 parts and starts each anew")
def decoder_that_starts_from_the_encoder_at_each_step():
    def forward(self, words, context):
        steps = self.embedding(words).split(1, 1)
        return self.fc(torch.cat([self.rnn(step, context)[0] for step in steps], 1))

    parts = dict(embedding=nn.Embedding(V, I), rnn=gru(), fc=nn.Linear(H, V))
    return Of(forward, **parts), (ids(), torch.randn(1, N, H))


# ---------------------------------------------------------------- directions, pairs, and weights that say nothing


@wrong("backward-not-turned", r"'back' \(GRU\) reads the sequence turned round.*output\.flip\(1\)")
def tags_of_two_layers_that_meet_at_no_step():
    def forward(self, x):
        return self.fc(torch.cat([self.there(x)[0], self.back(x.flip(1))[0]], -1))

    return Of(forward, there=gru(), back=gru(), fc=head(2 * H)), numbers()


@wrong("batch-mixed", r"broadcasts \(5, 1\) and \(5,?\) to \(5, 5\), each sample with all others")
def error_against_a_target_of_another_shape():
    def forward(self, x, y):
        return (self.fc(self.rnn(x)[1][-1]) - y) ** 2

    return Of(forward, rnn=gru(), fc=nn.Linear(H, 1)), (numbers(), torch.randn(N))


@wrong("no-gradient", r"softmax\(-1\).*gives the same numbers.*an axis of length 1")
def attention_softmaxed_over_one_score():
    def forward(self, x):
        output, _ = self.rnn(x)
        return self.fc((self.score(output).softmax(-1) * output).sum(1))

    return Of(forward, rnn=gru(), score=nn.Linear(H, 1), fc=head()), numbers()


@wrong("no-gradient", r"tagger\.bias_hh_l0.*although the results are made with them")
def tags_decided_before_they_are_read():
    def forward(self, x):
        return self.fc(self.rnn(self.embedding(self.tags(self.tagger(x)[0]).argmax(-1)))[1][-1])

    parts = dict(tagger=gru(), tags=nn.Linear(H, C), embedding=nn.Embedding(C, I), rnn=nn.GRU(I, H, batch_first=True))
    return Of(forward, **parts, fc=head()), numbers()


# ---------------------------------------------------------------- padding and later steps, by the operation


@wrong("padding-read", r"`output\.mean\(1\)` \(.*\) takes the padded steps in.*Mask the padding", lengths=LENGTHS)
def mean_over_an_output_that_was_not_packed():
    def forward(self, x):
        output, _ = self.rnn(x)
        return self.fc(output.mean(1))

    return Of(forward, rnn=gru(), fc=head()), padded()


@wrong("padding-read", r"softmax\(1\).*gives the padded steps a share.*-inf", lengths=LENGTHS)
def attention_that_was_not_masked():
    def forward(self, x):
        output, _ = self.rnn(x)
        return self.fc((self.score(output).softmax(1) * output).sum(1))

    return Of(forward, rnn=elman.RNN(I, H, batch_first=True), score=nn.Linear(H, 1), fc=head()), padded()


@wrong(
    "padding-read",
    r"`output\[torch\.arange\(len\(x\)\), lengths\]`.*past the end.*lengths - 1",
    lengths=[6, 3, 5, 2, 4],
)
def step_after_the_last_one():
    def forward(self, x, lengths):
        output, _ = self.rnn(x)
        return self.fc(output[torch.arange(len(x)), lengths])

    return WithLengths(forward, rnn=gru(), fc=head()), numbers()


@wrong(
    "padding-read", r"the loop over 'cell' \(GRUCell\) reads every sequence to the end.*torch\.where", lengths=LENGTHS
)
def loop_that_goes_on_past_the_end():
    def forward(self, x):
        h = torch.zeros(len(x), H)
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
        return self.fc(h)

    return Of(forward, cell=nn.GRUCell(I, H), fc=head()), padded()


@wrong("padding-read", r"'rnn' \(GRU\) read every sequence to the end of its padding", lengths=LENGTHS)
def tags_read_backwards_through_the_padding():
    return Of(lambda self, x: self.fc(self.rnn(x)[0]), rnn=gru(bidirectional=True), fc=head(2 * H)), padded()


@wrong("not-causal", r"`x\.mean\(1, keepdim=True\)` \(.*\) takes later steps in.*running mean", causal=True)
def forecast_of_a_centred_series():
    return Of(lambda self, x: self.fc(self.rnn(x - x.mean(1, keepdim=True))[0]), rnn=gru(), fc=head()), numbers()


@wrong("not-causal", r"transpose\(1, 2\)`.*takes later steps in.*causal mask before a softmax", causal=True)
def attention_of_every_step_to_all():
    def forward(self, x):
        output, _ = self.rnn(x)
        return self.fc((output @ output.transpose(1, 2)).softmax(-1) @ output)

    return Of(forward, rnn=gru(), fc=head()), numbers()


# ---------------------------------------------------------------- the input, the first step, the first weights


@wrong("input-written", r"`x -= x\.mean\(1, keepdim=True\)`.*x = x - m")
def centred_in_place():
    def forward(self, x):
        x -= x.mean(1, keepdim=True)
        return self.fc(self.rnn(x)[1][-1])

    return Of(forward, rnn=gru(), fc=head()), numbers()


@wrong("input-written", r"in `x\[:, 0\]` .*x = x\.clone\(\)")
def first_word_overwritten():
    def forward(self, x):
        x[:, 0] = 0
        return self.fc(self.rnn(self.embedding(x))[0])

    return Of(forward, embedding=nn.Embedding(V, I), rnn=gru(), fc=head()), ids()


@wrong("first-step-unread", r"range\(1, T\)")
def loop_that_starts_one_step_late():
    def forward(self, x):
        state = None
        for t in range(1, x.shape[1]):
            state = self.cell(x[:, t], state)
        return self.fc(state[0])

    return Of(forward, cell=nn.LSTMCell(I, H), fc=head()), numbers()


@wrong("no-gradient", r"fc\.weight get no gradient from where the model starts.*xavier_uniform_")
def everything_starts_at_zero():
    model = Of(lambda self, x: self.fc(self.rnn(x)[1][-1]), rnn=gru(), fc=head())
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model, numbers()


@wrong("alike-units", r"All units of 'rnn' \(GRU\) have the same weights.*at random")
def everything_starts_at_a_tenth():
    model = Of(lambda self, x: self.fc(self.rnn(x)[1][-1]), rnn=gru(), fc=head())
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    return model, numbers()


@wrong("batch-mixed", r"view\(x\.shape\[1\], len\(x\), H\)")
def sentences_viewed_into_another_order():
    def forward(self, x):
        h = self.lower(x.flatten(0, 1))[1][-1].view(x.shape[1], len(x), H)
        return self.fc(self.upper(h.transpose(0, 1))[1][-1])

    return Of(forward, lower=gru(), upper=nn.GRU(H, H, batch_first=True), fc=head()), torch.randn(N, 3, T, I)


# ---------------------------------------------------------------- other arguments, and derivatives of zero


@wrong("batch-position", r"`h\.reshape\(2, len\(x\), H\)` .* cuts \(5, 2, 6\) anew.*transpose")
def first_states_reshaped_into_another_order():
    def forward(self, x, h):
        return self.fc(self.rnn(x, h.reshape(2, len(x), H))[0][:, -1])

    return Of(forward, rnn=gru(num_layers=2), fc=head()), (numbers(), torch.randn(N, 2, H))


@wrong("not-causal", r"'rnn' \(GRU\) starts from a state that has read later steps", causal=True)
def second_pass_from_the_end_of_the_first():
    def forward(self, x):
        output, state = self.rnn(self.inwards(x))
        return self.fc(self.rnn(output, state)[0])

    return Of(forward, inwards=nn.Linear(I, H), rnn=nn.GRU(H, H, batch_first=True), fc=head()), numbers()


@wrong("no-gradient", r"score\.weight.*torch\.round.*whose derivative is zero everywhere")
def gate_that_is_rounded():
    def forward(self, x):
        output, _ = self.rnn(x)
        return self.fc((torch.round(torch.sigmoid(self.score(output))) * output).sum(1))

    return Of(forward, rnn=gru(), score=nn.Linear(H, 1), fc=head()), numbers()


@wrong("no-gradient", r"inwards\.weight.*torch\.relu\(self\.inwards\(x\)\)` .* gives the same numbers")
def front_layer_that_never_fires():
    model = Of(
        lambda self, x: self.fc(self.rnn(torch.relu(self.inwards(x)))[0]),
        inwards=nn.Linear(I, H),
        rnn=nn.GRU(H, H, batch_first=True),
        fc=head(),
    )
    nn.init.constant_(model.inwards.bias, -50.0)
    return model, numbers()


@wrong("no-memory", r"is not given the state of the step before.*output, state = layer\(step, state\)")
def layer_stepped_without_its_state():
    def forward(self, x):
        return self.fc(torch.cat([self.rnn(x[:, t : t + 1])[0] for t in range(x.shape[1])], 1))

    return Of(forward, rnn=elman.RNN(I, H, batch_first=True), fc=head()), numbers()


# ---------------------------------------------------------------- what is handed on by half, or not at all


@wrong("no-memory", r"'decoder' \(GRU\) reads the sequence in 4 parts.*output, state = layer\(part, state\)")
def decoder_of_another_argument_that_starts_anew():
    def forward(self, source, target):
        _, state = self.encoder(self.embedding(source))
        steps = self.embedding(target).split(1, 1)
        return self.fc(torch.cat([self.decoder(step, state)[0] for step in steps], 1))

    parts = dict(embedding=nn.Embedding(V, I), encoder=gru(), decoder=gru(), fc=nn.Linear(H, V))
    return Of(forward, **parts), (ids(), ids(steps=4))


@wrong("no-memory", r"c of 'cell' \(LSTMCell\) is not carried.*starts from zeros.*h, c = cell\(x_t, \(h, c\)\)")
def cell_state_left_behind():
    def forward(self, x):
        h = c = torch.zeros(len(x), H)
        for x_t in x.unbind(1):
            h, _ = self.cell(x_t, (h, c))
        return self.fc(h)

    return Of(forward, cell=elman.LSTMCell(I, H), fc=head()), numbers()


@wrong("no-memory", r"h of 'rnn' \(LSTM\) is not carried.*output, \(h, c\) = lstm\(step, \(h, c\)\)")
def hidden_state_left_behind():
    def forward(self, x):
        h, c = self.first.expand(2, 1, len(x), H).contiguous()
        outputs = []
        for step in x.split(1, 1):
            output, (_, c) = self.rnn(step, (h, c))
            outputs.append(self.fc(output))
        return torch.cat(outputs, 1)

    first = nn.Parameter(torch.randn(2, 1, 1, H))
    return Of(forward, rnn=nn.LSTM(I, H, batch_first=True), first=first, fc=head()), numbers()


@wrong(
    "batch-mixed",
    r"`self\.embedding\(x\)\.view\(-1, 1, I\)` \(.*\) puts all samples one behind another.*an axis of their own",
)
def batch_viewed_as_one_sequence():
    def forward(self, x):
        output, _ = self.rnn(self.embedding(x).view(-1, 1, I))
        return self.fc(output.view(*x.shape, H))

    return Of(forward, embedding=nn.Embedding(V, I), rnn=nn.LSTM(I, H), fc=head()), ids()


@wrong(
    "input-dropped",
    r"input \(5, 7\) has no influence.*`self\.encoder\(self\.embedding\(source\)\)`.*'decoder' .* starts from zeros",
)
def decoder_without_the_encoders_state():
    def forward(self, source, target):
        _, state = self.encoder(self.embedding(source))
        return self.fc(self.decoder(self.embedding(target), torch.zeros_like(state))[0])

    parts = dict(embedding=nn.Embedding(V, I), encoder=gru(), decoder=gru(), fc=nn.Linear(H, V))
    return Of(forward, **parts), (ids(), ids(steps=4))


@wrong("steps-scattered", r"`y\.view\(len\(x\), -1, 9\)` \(.*\) cuts \(5, 9, 7\) anew as \(5, 7, 9\).*transpose")
def channels_viewed_as_steps():
    def forward(self, x):
        y = torch.relu(self.conv(x.transpose(1, 2)))
        return self.fc(self.rnn(y.view(len(x), -1, 9))[0][:, -1])

    parts = dict(conv=nn.Conv1d(I, 9, 3, padding=1), rnn=nn.LSTM(9, H, batch_first=True), fc=head())
    return Of(forward, **parts), numbers()


@wrong("padding-read", r"masked_fill\(real, -1e9\)` \(.*\) hides the real steps.*the wrong way round", lengths=LENGTHS)
def attention_to_the_padding_alone():
    def forward(self, x, lengths):
        output, _ = self.rnn(x)
        real = torch.arange(x.shape[1]) < lengths[:, None]
        weights = self.score(output)[..., 0].masked_fill(real, -1e9).softmax(1)
        return self.fc((weights[..., None] * output).sum(1))

    return WithLengths(forward, rnn=gru(), score=nn.Linear(H, 1), fc=head()), padded()


@wrong("padding-read", r"self\.attention\(.*hides the real steps.*key_padding_mask", lengths=[3, 6, 5, 2, 4])
def key_padding_mask_turned_round():
    def forward(self, x, lengths):
        output, _ = self.rnn(x)
        real = torch.arange(x.shape[1]) < lengths[:, None]
        return self.fc(self.attention(output[:, :1], output, output, key_padding_mask=real)[0][:, 0])

    return WithLengths(forward, rnn=gru(), attention=nn.MultiheadAttention(H, 1, batch_first=True), fc=head()), padded()


@wrong("padding-read", r"`output \* past` \(.*\) hides the real steps", lengths=LENGTHS)
def mean_of_the_padding_alone():
    def forward(self, x, lengths):
        output, _ = self.rnn(x)
        past = (torch.arange(x.shape[1]) >= lengths[:, None])[..., None]
        return self.fc((output * past).sum(1) / lengths[:, None])

    return WithLengths(forward, rnn=gru(), fc=head()), padded()


@wrong("state-keeps-graph", r"goes on from h of the call before.*self\.h = h\.detach\(\)")
def windows_that_are_never_cut():
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.h = gru(), None

        def reset(self) -> None:
            self.h = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output, self.h = self.rnn(x, self.h)
            return output

    return Windows(), numbers()


@wrong("no-memory", r"c of 'cell' \(LSTMCell\) is not carried.*starts from zeros")
def cell_state_made_anew_after_the_first_step():
    def forward(self, x):
        state = None
        for x_t in x.unbind(1):
            h, _ = self.cell(x_t, state)
            state = h, torch.zeros_like(h)
        return self.fc(h)

    return Of(forward, cell=nn.LSTMCell(I, H), fc=head()), numbers()
