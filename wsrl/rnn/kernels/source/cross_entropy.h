// One RNN's softmax cross-entropy on its sequences, and the gradient, in one pass.
#pragma once

#include <cmath>

#include "blocks.h"

// Softmax cross-entropy of rows (T, count, O) of logits, which become their own gradients. Each
// row counts `share` of its sequence. Returns the loss.
static double softmax_backward(float* logits, const int64_t* targets, const int32_t* which,
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
      for (long o = 0; o < row_size; o += WIDTH) store(row + o, load(row + o) * all(scale));
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

  Inputs inputs;
  float *weights, *gradients, *tape, *logits, *above, *carry_h, *carry_c, *share;
  int32_t* which;
  auto place = [&](float* base) {
    Arena arena(base);
    weights = arena.take(net.packed_size());
    gradients = arena.take(net.forward_size());
    inputs = place_inputs(arena, block * T, call.spec.inputs);
    tape = arena.take(block * net.tape_size());
    logits = arena.take(block * T * net.outputs);
    above = arena.take(block * T * H);
    carry_h = arena.take(call.spec.layers * block * H);
    carry_c = arena.take(call.spec.layers * block * H);
    share = arena.take(block);
    which = arena.take<int32_t>(block);
    return arena.used();
  };
  place(scratch(place(nullptr)));

  net.pack(call.flat + rnn * call.spec.parameters, weights);
  if (call.gradient) net.pack_backward(call.flat + rnn * call.spec.parameters, weights);
  std::fill_n(gradients, net.forward_size(), 0.0f);
  double loss = 0;
  for (long s = 0; s < S;) {
    long count = 0;
    for (; s < S && count < block; s++)
      if (weights_of[s] != 0.0f) which[count] = s, share[count++] = weights_of[s] / T;
    if (!count) break;
    for (long layer = 0; layer < call.spec.layers; layer++) {
      const LayerTape at = net.layer_tape(tape, count, layer);
      std::fill_n(at.h, count * H, 0.0f);
      if (Cell::MEMORY) std::fill_n(at.c, count * H, 0.0f);
      net.show(at, count);
    }
    gather_inputs(call.inputs + rnn * S * T * call.spec.inputs, which, count, T, call.spec.inputs,
                  inputs);
    net.forward(weights, inputs, tape, count);
    net.read_out(weights, tape, count, logits);
    loss += softmax_backward(logits, call.targets + rnn * S * T, which, share, count, T,
                             call.spec.outputs, net.outputs);
    if (!call.gradient) continue;
    net.read_out_backward(weights, tape, count, logits, above, gradients);
    std::fill_n(carry_h, call.spec.layers * count * H, 0.0f);
    std::fill_n(carry_c, call.spec.layers * count * H, 0.0f);
    net.backward(weights, inputs, tape, count, above, carry_h, carry_c, nullptr, gradients,
                 nullptr, false);
  }
  call.losses[rnn] = loss;
  if (call.gradient) net.unpack(gradients, call.gradient + rnn * call.spec.parameters);
}
