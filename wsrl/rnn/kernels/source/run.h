// One RNN on its sequences, and the gradients of that.
#pragma once

#include "blocks.h"

struct RunCall {
  const Spec& spec;
  long rnns, sequences, steps;
  const float* flat;
  float* packed;  // the weights as wsrl_pack wrote them, or null
  const float* inputs;
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

template <class Cell>
void run_of(const RunCall& call, long rnn) {
  const Network<Cell> net(call.spec, call.steps);
  const long S = call.sequences, T = call.steps, H = call.spec.hidden, O = call.spec.outputs;
  const long block = block_size(S, net.tape_size() + T * net.outputs);
  const StateRows state = {call.rnns, S, H};

  Inputs inputs;
  float *weights, *tape_room, *outputs;
  auto place = [&](float* base) {
    Arena arena(base);
    weights = call.packed ? call.packed + rnn * net.packed_size() : arena.take(net.forward_size());
    inputs = place_inputs(arena, block * T, call.spec.inputs);
    tape_room = arena.take(call.saved ? 0 : block * net.tape_size());
    outputs = arena.take(block * T * net.outputs);
    return arena.used();
  };
  place(scratch(place(nullptr)));

  if (!call.packed) net.pack(call.flat + rnn * call.spec.parameters, weights);
  for (long s = 0; s < S; s += block) {
    const long count = std::min(block, S - s);
    float* tape = call.saved ? call.saved + (rnn * S + s) * net.tape_size() : tape_room;
    for (long layer = 0; layer < call.spec.layers; layer++) {
      const long at = state.at(layer, rnn, s);
      const LayerTape to = net.layer_tape(tape, count, layer);
      fill_padded(call.first_h ? call.first_h + at : nullptr, count, H, Cell::SHOWN ? to.c : to.h,
                  net.hidden);
      if (Cell::MEMORY && !Cell::SHOWN)
        fill_padded(call.first_c ? call.first_c + at : nullptr, count, H, to.c, net.hidden);
      net.show(to, count);
    }
    gather_inputs(call.inputs + (rnn * S + s) * T * call.spec.inputs, nullptr, count, T,
                  call.spec.inputs, inputs);
    net.forward(weights, inputs, tape, count);
    net.read_out(weights, tape, count, outputs);
    for (long i = 0; i < count; i++)
      for (long t = 0; t < T; t++)
        strip_padding(outputs + (t * count + i) * net.outputs, 1, net.outputs,
                      call.outputs + ((rnn * S + s + i) * T + t) * O, O);
    for (long layer = 0; layer < call.spec.layers; layer++) {
      const long at = state.at(layer, rnn, s), last = T * count * net.hidden;
      const LayerTape from = net.layer_tape(tape, count, layer);
      strip_padding((Cell::SHOWN ? from.c : from.h) + last, count, net.hidden, call.last_h + at, H);
      if (Cell::MEMORY && !Cell::SHOWN)
        strip_padding(from.c + last, count, net.hidden, call.last_c + at, H);
    }
  }
}

struct RunBackwardCall {
  const Spec& spec;
  long rnns, sequences, steps;
  const float* flat;
  float* packed;  // as of RunCall
  const float* inputs;
  float* saved;
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

  Inputs inputs;
  float *weights, *gradients, *d_outputs, *above, *carry_h, *carry_c, *d_gates, *d_inputs;
  auto place = [&](float* base) {
    Arena arena(base);
    weights = call.packed ? call.packed + rnn * net.packed_size() : arena.take(net.packed_size());
    gradients = arena.take(call.d_flat ? net.forward_size() : 0);
    inputs = place_inputs(arena, block * T, I);
    d_outputs = arena.take(block * T * net.outputs);
    above = arena.take(block * T * net.hidden);
    carry_h = arena.take(L * block * net.hidden);
    carry_c = arena.take(L * block * net.hidden);
    d_gates = arena.take(block * T * net.columns);
    d_inputs = arena.take(block * T * net.inputs);
    return arena.used();
  };
  place(scratch(place(nullptr)));

  if (!call.packed) net.pack_backward(call.flat + rnn * call.spec.parameters, weights);
  if (call.d_flat) std::fill_n(gradients, net.forward_size(), 0.0f);
  for (long s = 0; s < S; s += block) {
    const long count = std::min(block, S - s);
    // The tape is only read: its gates are not overwritten, since d_gates is given.
    float* tape = call.saved + (rnn * S + s) * net.tape_size();
    if (call.d_flat)
      gather_inputs(call.inputs + (rnn * S + s) * T * I, nullptr, count, T, I, inputs);
    for (long i = 0; i < count; i++)
      for (long t = 0; t < T; t++)
        fill_padded(call.d_outputs ? call.d_outputs + ((rnn * S + s + i) * T + t) * O : nullptr, 1,
                    O, d_outputs + (t * count + i) * net.outputs, net.outputs);
    for (long layer = 0; layer < L; layer++) {
      const long at = state.at(layer, rnn, s), to = layer * count * net.hidden;
      const float *h = call.d_last_h ? call.d_last_h + at : nullptr,
                  *c = call.d_last_c ? call.d_last_c + at : nullptr;
      fill_padded(Cell::SHOWN ? nullptr : h, count, H, carry_h + to, net.hidden);
      fill_padded(Cell::SHOWN ? h : c, count, H, carry_c + to, net.hidden);
    }
    float* wanted = call.d_flat ? gradients : nullptr;
    net.read_out_backward(weights, tape, count, d_outputs, above, wanted);
    net.backward(weights, inputs, tape, count, above, carry_h, carry_c, d_gates, wanted,
                 call.d_inputs ? d_inputs : nullptr, call.d_first_h);
    for (long i = 0; call.d_inputs && i < count; i++)
      for (long t = 0; t < T; t++)
        strip_padding(d_inputs + (t * count + i) * net.inputs, 1, net.inputs,
                      call.d_inputs + ((rnn * S + s + i) * T + t) * I, I);
    for (long layer = 0; call.d_first_h && layer < L; layer++) {
      const long at = state.at(layer, rnn, s), from = layer * count * net.hidden;
      if constexpr (Cell::SHOWN)
        Cell::show_backward(count * net.hidden, net.layer_tape(tape, count, layer).h,
                            carry_h + from, carry_c + from);
      strip_padding((Cell::SHOWN ? carry_c : carry_h) + from, count, net.hidden,
                    call.d_first_h + at, H);
      if (Cell::MEMORY && !Cell::SHOWN)
        strip_padding(carry_c + from, count, net.hidden, call.d_first_c + at, H);
    }
  }
  if (call.d_flat) net.unpack(gradients, call.d_flat + rnn * call.spec.parameters);
}
