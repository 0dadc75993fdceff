// Populations of small RNNs, each with weights of its own: every thread takes one RNN after the
// other, and runs it from its flat vector to its result while all of it is in that core's cache.
//
// The plain C functions at the end are what cpu.py calls. Arrays are contiguous float32; P RNNs, S
// sequences each, T steps. Nothing an RNN computes depends on the others or on the thread.

#include <cmath>

#include "network.h"

namespace {

// Sequences are taken in blocks whose tape fits the cache.
constexpr long BLOCK_BYTES = 1 << 19;

long block_size(long sequences, long floats_each) {
  const long most = std::max<long>(1, BLOCK_BYTES / 4 / floats_each);
  const long blocks = std::max<long>(1, (sequences + most - 1) / most);
  return (sequences + blocks - 1) / blocks;
}

// Copies inputs (sequences of T x I) to their order by step, and says whether all are one-hot.
void gather_inputs(const float* from, const int32_t* which, long count, long steps, long size,
                   Inputs& to) {
  to.one_hot = true;
  for (long s = 0; s < count; s++)
    for (long t = 0; t < steps; t++) {
      const float* row = from + (which[s] * steps + t) * size;
      std::copy_n(row, size, to.vectors + (t * count + s) * size);
      if (!to.one_hot) continue;
      int32_t ones = 0, zeros = 0, token = 0;
      for (int32_t k = 0; k < size; k++) {  // without branches, since tokens cannot be foreseen
        const int32_t one = row[k] == 1.0f;
        zeros += row[k] == 0.0f, ones += one, token += k & -one;
      }
      to.one_hot = ones == 1 && zeros == size - 1;
      to.tokens[t * count + s] = token;
    }
}

Inputs place_inputs(Arena& arena, long rows, long size) {
  Inputs inputs = {};
  inputs.vectors = arena.take(rows * size);
  inputs.tokens = (int32_t*)arena.take(rows);
  return inputs;
}

// Softmax cross-entropy of rows (T, count, O) of logits, which become their own gradients. Each
// row counts `share` of its sequence. Returns the loss.
double softmax_backward(float* logits, const int64_t* targets, const int32_t* which,
                        const float* share, long count, long steps, long size, long row_size) {
  double loss = 0;
  for (long t = 0; t < steps; t++)
    for (long s = 0; s < count; s++) {
      float* row = logits + (t * count + s) * row_size;
      const int64_t target = targets[which[s] * steps + t];
      float largest = row[0], sum = 0;
      for (long o = 1; o < size; o++) largest = std::max(largest, row[o]);
      const float wanted = row[target];
      for (long o = 0; o < row_size; o += WIDTH)
        store(row + o, exp_of(load(row + o) - all(largest)));
      for (long o = 0; o < size; o++) sum += row[o];
      loss += share[s] * (std::log(sum) + largest - wanted);
      const float scale = share[s] / sum;
      for (long o = 0; o < size; o++) row[o] *= scale;
      for (long o = size; o < row_size; o++) row[o] = 0;
      row[target] -= share[s];
    }
  return loss;
}

struct CrossEntropyCall {
  const Spec& spec;
  long sequences, steps;
  const float *flat, *inputs;
  const int64_t* targets;
  const float* sequence_weights;
  float *losses, *gradient;  // (P,) and (P, N), or no gradient
};

template <class Cell>
void cross_entropy_of(const CrossEntropyCall& call, long rnn) {
  const Network<Cell> net(call.spec, call.steps);
  const long S = call.sequences, T = call.steps, H = net.hidden;
  const float* weights_of = call.sequence_weights + rnn * S;
  long active = 0;  // what counts nothing is left out
  for (long s = 0; s < S; s++) active += weights_of[s] != 0.0f;
  const long block = block_size(active, net.tape_size() + T * (H + net.outputs));

  Weights weights, gradients;
  Inputs inputs;
  float *tape_at = nullptr, *logits = nullptr, *above = nullptr, *carry_h = nullptr,
        *carry_c = nullptr, *share = nullptr;
  int32_t* which = nullptr;
  auto place = [&](float* base) {
    Arena arena(base);
    weights = net.place_weights(arena, false);
    gradients = net.place_weights(arena, true);
    inputs = place_inputs(arena, block * T, call.spec.inputs);
    tape_at = arena.take(block * net.tape_size());
    logits = arena.take(block * T * net.outputs);
    above = arena.take(block * T * H);
    carry_h = arena.take(call.spec.layers * block * H);
    carry_c = arena.take(call.spec.layers * block * H);
    share = arena.take(block);
    which = (int32_t*)arena.take(block);
    return arena.used();
  };
  place(scratch(place(nullptr)));

  net.pack(call.flat + rnn * call.spec.parameters, weights);
  if (call.gradient) net.pack_backward(call.flat + rnn * call.spec.parameters, weights);
  net.clear(gradients);
  double loss = 0;
  for (long s = 0; s < S;) {
    long count = 0;
    for (; s < S && count < block; s++)
      if (weights_of[s] != 0.0f) which[count] = s, share[count++] = weights_of[s] / T;
    if (!count) break;
    std::vector<LayerTape> tape = net.place_tape(tape_at, count);
    for (LayerTape& layer : tape) {
      std::fill_n(layer.h, count * H, 0.0f);
      if (Cell::MEMORY) std::fill_n(layer.c, count * H, 0.0f);
    }
    gather_inputs(call.inputs + rnn * S * T * call.spec.inputs, which, count, T, call.spec.inputs,
                  inputs);
    net.forward(weights, inputs, tape, count);
    net.read_out(weights, tape, count, logits);
    loss += softmax_backward(logits, call.targets + rnn * S * T, which, share, count, T,
                             call.spec.outputs, net.outputs);
    if (!call.gradient) continue;
    net.read_out_backward(weights, tape, count, logits, above, &gradients);
    std::fill_n(carry_h, call.spec.layers * count * H, 0.0f);
    std::fill_n(carry_c, call.spec.layers * count * H, 0.0f);
    net.backward(weights, inputs, tape, count, above, carry_h, carry_c, nullptr, &gradients,
                 nullptr, false);
  }
  call.losses[rnn] = loss;
  if (call.gradient) net.unpack(gradients, call.gradient + rnn * call.spec.parameters);
}

struct RunCall {
  const Spec& spec;
  long rnns, sequences, steps;
  const float *flat, *inputs;
  const float *first_h, *first_c;  // (L, P, S, H), or null for zeros
  float *outputs, *last_h, *last_c;
  float* saved;  // the tapes of all sequences, or null
};

// Copies rows of `size` between a state (L, P, S, H) and one layer's rows of padded neurons.
struct StateRows {
  long rnns, sequences, size;
  long at(long layer, long rnn, long sequence) const {
    return ((layer * rnns + rnn) * sequences + sequence) * size;
  }
};

void fill_padded(const float* from, long rows, long size, float* to, long row_size) {
  for (long row = 0; row < rows; row++) {
    float* copy = to + row * row_size;
    for (long j = 0; j < row_size; j++) copy[j] = from && j < size ? from[row * size + j] : 0.0f;
  }
}

void strip_padding(const float* from, long rows, long row_size, float* to, long size) {
  for (long row = 0; row < rows; row++) std::copy_n(from + row * row_size, size, to + row * size);
}

template <class Cell>
void run_of(const RunCall& call, long rnn) {
  const Network<Cell> net(call.spec, call.steps);
  const long S = call.sequences, T = call.steps, H = call.spec.hidden, O = call.spec.outputs;
  const long block = block_size(S, net.tape_size() + T * net.outputs);
  const StateRows state = {call.rnns, S, H};

  Weights weights;
  Inputs inputs;
  float *tape_at = nullptr, *outputs = nullptr;
  int32_t* which = nullptr;
  auto place = [&](float* base) {
    Arena arena(base);
    weights = net.place_weights(arena, false);
    inputs = place_inputs(arena, block * T, call.spec.inputs);
    tape_at = arena.take(call.saved ? 0 : block * net.tape_size());
    outputs = arena.take(block * T * net.outputs);
    which = (int32_t*)arena.take(block);
    return arena.used();
  };
  place(scratch(place(nullptr)));

  net.pack(call.flat + rnn * call.spec.parameters, weights);
  for (long s = 0; s < S; s += block) {
    const long count = std::min(block, S - s);
    for (long i = 0; i < count; i++) which[i] = s + i;
    float* kept = call.saved ? call.saved + (rnn * S + s) * net.tape_size() : tape_at;
    std::vector<LayerTape> tape = net.place_tape(kept, count);
    for (long layer = 0; layer < call.spec.layers; layer++) {
      const long at = state.at(layer, rnn, s);
      fill_padded(call.first_h ? call.first_h + at : nullptr, count, H, tape[layer].h, net.hidden);
      if (Cell::MEMORY)
        fill_padded(call.first_c ? call.first_c + at : nullptr, count, H, tape[layer].c,
                    net.hidden);
    }
    gather_inputs(call.inputs + rnn * S * T * call.spec.inputs, which, count, T, call.spec.inputs,
                  inputs);
    net.forward(weights, inputs, tape, count);
    net.read_out(weights, tape, count, outputs);
    for (long i = 0; i < count; i++)
      for (long t = 0; t < T; t++)
        std::copy_n(outputs + (t * count + i) * net.outputs, O,
                    call.outputs + ((rnn * S + s + i) * T + t) * O);
    for (long layer = 0; layer < call.spec.layers; layer++) {
      const long at = state.at(layer, rnn, s), last = T * count * net.hidden;
      strip_padding(tape[layer].h + last, count, net.hidden, call.last_h + at, H);
      if (Cell::MEMORY) strip_padding(tape[layer].c + last, count, net.hidden, call.last_c + at, H);
    }
  }
}

struct RunBackwardCall {
  const Spec& spec;
  long rnns, sequences, steps;
  const float *flat, *inputs, *saved;
  const float *d_outputs, *d_last_h, *d_last_c;      // null where they are zero
  float *d_flat, *d_inputs, *d_first_h, *d_first_c;  // null where nobody asks
};

template <class Cell>
void run_backward_of(const RunBackwardCall& call, long rnn) {
  const Network<Cell> net(call.spec, call.steps);
  const long S = call.sequences, T = call.steps, L = call.spec.layers;
  const long H = call.spec.hidden, O = call.spec.outputs, I = call.spec.inputs;
  const long block = block_size(S, net.tape_size() + T * net.outputs);  // as the forward pass
  const StateRows state = {call.rnns, S, H};

  Weights weights, gradients;
  Inputs inputs;
  float *d_outputs = nullptr, *above = nullptr, *carry_h = nullptr, *carry_c = nullptr,
        *d_gates = nullptr, *d_inputs = nullptr;
  int32_t* which = nullptr;
  auto place = [&](float* base) {
    Arena arena(base);
    weights = net.place_weights(arena, false);
    gradients = net.place_weights(arena, true);
    inputs = place_inputs(arena, block * T, I);
    d_outputs = arena.take(block * T * net.outputs);
    above = arena.take(block * T * net.hidden);
    carry_h = arena.take(L * block * net.hidden);
    carry_c = arena.take(L * block * net.hidden);
    d_gates = arena.take(block * T * net.columns);
    d_inputs = arena.take(block * T * net.inputs);
    which = (int32_t*)arena.take(block);
    return arena.used();
  };
  place(scratch(place(nullptr)));

  net.pack_backward(call.flat + rnn * call.spec.parameters, weights);
  if (call.d_flat) net.clear(gradients);
  for (long s = 0; s < S; s += block) {
    const long count = std::min(block, S - s);
    // The tape is only read: its gates are not overwritten, since d_gates is given.
    float* kept = const_cast<float*>(call.saved) + (rnn * S + s) * net.tape_size();
    std::vector<LayerTape> tape = net.place_tape(kept, count);
    if (call.d_flat) {
      for (long i = 0; i < count; i++) which[i] = s + i;
      gather_inputs(call.inputs + rnn * S * T * I, which, count, T, I, inputs);
    }
    for (long i = 0; i < count; i++)
      for (long t = 0; t < T; t++)
        fill_padded(call.d_outputs ? call.d_outputs + ((rnn * S + s + i) * T + t) * O : nullptr, 1,
                    O, d_outputs + (t * count + i) * net.outputs, net.outputs);
    for (long layer = 0; layer < L; layer++) {
      const long at = state.at(layer, rnn, s), to = layer * count * net.hidden;
      fill_padded(call.d_last_h ? call.d_last_h + at : nullptr, count, H, carry_h + to, net.hidden);
      fill_padded(call.d_last_c ? call.d_last_c + at : nullptr, count, H, carry_c + to, net.hidden);
    }
    Weights* wanted = call.d_flat ? &gradients : nullptr;
    net.read_out_backward(weights, tape, count, d_outputs, above, wanted);
    net.backward(weights, inputs, tape, count, above, carry_h, carry_c, d_gates, wanted,
                 call.d_inputs ? d_inputs : nullptr, call.d_first_h);
    for (long i = 0; call.d_inputs && i < count; i++)
      for (long t = 0; t < T; t++)
        std::copy_n(d_inputs + (t * count + i) * net.inputs, I,
                    call.d_inputs + ((rnn * S + s + i) * T + t) * I);
    for (long layer = 0; call.d_first_h && layer < L; layer++) {
      const long at = state.at(layer, rnn, s), from = layer * count * net.hidden;
      strip_padding(carry_h + from, count, net.hidden, call.d_first_h + at, H);
      if (Cell::MEMORY) strip_padding(carry_c + from, count, net.hidden, call.d_first_c + at, H);
    }
  }
  if (call.d_flat) net.unpack(gradients, call.d_flat + rnn * call.spec.parameters);
}

// One RNN after the other on every thread.
template <class Work>
void for_each(long rnns, long threads, Work work) {
#pragma omp parallel num_threads(threads)
  {
    FlushTiny flush;
#pragma omp for schedule(dynamic, 1)
    for (long rnn = 0; rnn < rnns; rnn++) work(rnn);
  }
}

enum { LSTM_CELL, GRU_CELL, TANH_CELL };  // the order of cpu.py's CELLS

}  // namespace

extern "C" {

void wsrl_cross_entropy(const Spec* spec, long rnns, long sequences, long steps, long threads,
                        const float* flat, const float* inputs, const int64_t* targets,
                        const float* sequence_weights, float* losses, float* gradient) {
  const CrossEntropyCall call = {*spec,   sequences,        steps,  flat,    inputs,
                                 targets, sequence_weights, losses, gradient};
  for_each(rnns, threads, [&](long rnn) {
    if (spec->cell == LSTM_CELL) cross_entropy_of<LSTM>(call, rnn);
    if (spec->cell == GRU_CELL) cross_entropy_of<GRU>(call, rnn);
    if (spec->cell == TANH_CELL) cross_entropy_of<Tanh>(call, rnn);
  });
}

// How many floats `saved` of wsrl_run needs for one sequence.
long wsrl_saved_size(const Spec* spec, long steps) {
  if (spec->cell == LSTM_CELL) return Network<LSTM>(*spec, steps).tape_size();
  if (spec->cell == GRU_CELL) return Network<GRU>(*spec, steps).tape_size();
  return Network<Tanh>(*spec, steps).tape_size();
}

void wsrl_run(const Spec* spec, long rnns, long sequences, long steps, long threads,
              const float* flat, const float* inputs, const float* first_h, const float* first_c,
              float* outputs, float* last_h, float* last_c, float* saved) {
  const RunCall call = {*spec,   rnns,    sequences, steps,  flat,   inputs,
                        first_h, first_c, outputs,   last_h, last_c, saved};
  for_each(rnns, threads, [&](long rnn) {
    if (spec->cell == LSTM_CELL) run_of<LSTM>(call, rnn);
    if (spec->cell == GRU_CELL) run_of<GRU>(call, rnn);
    if (spec->cell == TANH_CELL) run_of<Tanh>(call, rnn);
  });
}

void wsrl_run_backward(const Spec* spec, long rnns, long sequences, long steps, long threads,
                       const float* flat, const float* inputs, const float* saved,
                       const float* d_outputs, const float* d_last_h, const float* d_last_c,
                       float* d_flat, float* d_inputs, float* d_first_h, float* d_first_c) {
  const RunBackwardCall call = {*spec,  rnns,     sequences, steps,    flat,
                                inputs, saved,    d_outputs, d_last_h, d_last_c,
                                d_flat, d_inputs, d_first_h, d_first_c};
  for_each(rnns, threads, [&](long rnn) {
    if (spec->cell == LSTM_CELL) run_backward_of<LSTM>(call, rnn);
    if (spec->cell == GRU_CELL) run_backward_of<GRU>(call, rnn);
    if (spec->cell == TANH_CELL) run_backward_of<Tanh>(call, rnn);
  });
}

// Sequences of picked images, each member's pixels in an order of its own, as the values of a
// table: out (P, S, T * I) = table[images[rows (P, S), sources (P, J)]] after `lead` zeros, T * I =
// lead + J.
void wsrl_look_up(long members, long sequences, long size, long lead, long threads,
                  const uint8_t* images, const int64_t* rows, const int32_t* sources,
                  const float* table, float* out) {
  for_each(members, threads, [&](long member) {
    const int32_t* source = sources + member * size;
    for (long s = 0; s < sequences; s++) {
      const uint8_t* image = images + rows[member * sequences + s] * size;
      float* to = out + (member * sequences + s) * (lead + size);
      std::fill_n(to, lead, 0.0f);
      for (long j = 0; j < size; j++)
        to[lead + j] = source[j] < 0 ? table[0] : table[image[source[j]]];
    }
  });
}

// AdamW in one pass. `kept` (P,) is what weight decay leaves of each RNN's weights, 1 - rate *
// decay; `rate` and `correction` have the corrections for the first steps in them.
void wsrl_adamw(long rnns, long size, long threads, float* flat, float* mean, float* square,
                const float* gradient, const float* kept, float beta1, float beta2, float epsilon,
                float rate, float correction) {
  for_each(rnns, threads, [&](long rnn) {
    float *w = flat + rnn * size, *m = mean + rnn * size, *v = square + rnn * size;
    const float *g = gradient + rnn * size, keep = kept[rnn];
#pragma omp simd
    for (long k = 0; k < size; k++) {
      m[k] += (1 - beta1) * (g[k] - m[k]);
      v[k] = v[k] * beta2 + (1 - beta2) * g[k] * g[k];
      w[k] = w[k] * keep - rate * m[k] / (std::sqrt(v[k] / correction) + epsilon);
    }
  });
}
}
