// One RNN on some of its sequences: forward and backward through all layers and the readout.
//
// Inside, sizes are filled up to whole vectors (with zeros, which stay zeros), and everything is
// ordered by step: row t * count + s of an array belongs to sequence s at step t. An array is given
// by a pointer to its first row; `count` is the number of sequences at work.
#pragma once

#include "cells.h"
#include "memory.h"
#include "products.h"

// What the flat vector of an RNN means; filled in from RNNSpec, which alone knows the layout.
struct Spec {
  int64_t inputs, hidden, layers, outputs, parameters;
  // Where tensors begin: for each layer W_ih, W_hh, b_ih, b_hh and the leak, then the readout's W
  // and b; -1 where there is none.
  const int64_t* offsets;
};
constexpr long PER_LAYER = 5;

// Weights of a layer, or their gradients, turned so that a product runs along the gates: (K, C),
// (H, C) and (C), C = blocks of padded neurons.
struct LayerWeights {
  float *input, *recurrent, *bias;
};

// The same as stored, for the backward pass, which runs along the neurons below: (C, K) and (C, H),
// padded.
struct StoredWeights {
  float *input, *recurrent;
};

// What the forward pass leaves for the backward pass.
struct LayerTape {
  float *h, *c;   // (T + 1, count, H): the state before each step and after the last
  float* gates;   // (T, count, C)
  float* tanh_c;  // (T, count, H)
};

// The inputs of some sequences by step: as vectors, or as tokens where all of them are one-hot.
struct Inputs {
  float* vectors;   // (T, count, I), unless one-hot
  int32_t* tokens;  // (T, count)
  bool one_hot;
};

template <class Cell>
class Network {
 public:
  const Spec& spec;
  const long steps, hidden, columns, driven, inputs, outputs;  // padded, all but steps

  Network(const Spec& spec, long steps)
      : spec(spec),
        steps(steps),
        hidden(padded(spec.hidden)),
        columns(Cell::BLOCKS * hidden),
        driven(Cell::DRIVEN * hidden),
        inputs(padded(spec.inputs)),
        outputs(padded(spec.outputs)) {}

  long below(long layer) const { return layer ? spec.hidden : spec.inputs; }

  // Weights are in one piece of memory: first what the forward pass reads (gradients have this part
  // only), layer by layer and then the readout, (H, O) and (O), padded; then what the backward pass
  // reads, likewise, the readout as (O, H), padded.
  long forward_size() const { return layers_size(spec.layers) + (spec.hidden + 1) * outputs; }
  long packed_size() const {
    return forward_size() + stored_size(spec.layers) + spec.outputs * hidden;
  }
  LayerWeights layer_weights(float* weights, long layer) const {
    float* input = weights + layers_size(layer);
    float* recurrent = input + below(layer) * columns;
    return {input, recurrent, recurrent + spec.hidden * columns};
  }
  float* readout(float* weights) const { return weights + layers_size(spec.layers); }
  float* readout_bias(float* weights) const { return readout(weights) + spec.hidden * outputs; }
  StoredWeights stored_weights(float* weights, long layer) const {
    float* input = weights + forward_size() + stored_size(layer);
    return {input, input + columns * padded(below(layer))};
  }
  float* stored_readout(float* weights) const {
    return weights + forward_size() + stored_size(spec.layers);
  }

  // How many floats of tape a sequence needs.
  long tape_size() const {
    long states = (steps + 1) * hidden * (Cell::MEMORY ? 2 : 1);
    return spec.layers * (states + steps * (columns + (Cell::MEMORY ? hidden : 0)));
  }

  // One layer's part of the tape of `count` sequences.
  LayerTape layer_tape(float* tape, long count, long layer) const {
    const long states = (steps + 1) * hidden * count, own = tape_size() / spec.layers * count;
    LayerTape one = {};
    one.h = tape + layer * own;
    one.gates = one.h + states;
    if (!Cell::MEMORY) return one;
    one.c = one.gates + steps * columns * count;
    one.tanh_c = one.c + states;
    return one;
  }

  // From the flat vector to what the forward pass reads.
  void pack(const float* flat, float* weights) const {
    const long H = spec.hidden;
    for (long layer = 0; layer < spec.layers; layer++) {
      const LayerWeights to = layer_weights(weights, layer);
      const int64_t* offset = spec.offsets + PER_LAYER * layer;
      turn_gates(flat + offset[0], below(layer), Cell::input_block, to.input);
      if (Cell::RECURRENT) turn_gates(flat + offset[1], H, Cell::recurrent_block, to.recurrent);
      std::fill_n(to.bias, columns, 0.0f);
      if (offset[4] >= 0) std::copy_n(flat + offset[4], H, to.bias + hidden);
      for (long gate = 0; gate < Cell::GATES; gate++) {
        float* input_bias = to.bias + Cell::input_block(gate) * hidden;
        float* recurrent_bias = to.bias + Cell::recurrent_block(gate) * hidden;
        for (long j = 0; offset[2] >= 0 && j < H; j++)
          input_bias[j] += flat[offset[2] + gate * H + j];
        for (long j = 0; offset[3] >= 0 && j < H; j++)
          recurrent_bias[j] += flat[offset[3] + gate * H + j];
      }
    }
    const int64_t* offset = spec.offsets + PER_LAYER * spec.layers;
    std::fill_n(readout(weights), (H + 1) * outputs, 0.0f);
    transpose(flat + offset[0], H, spec.outputs, H, readout(weights), outputs);
    if (offset[1] >= 0) std::copy_n(flat + offset[1], spec.outputs, readout_bias(weights));
  }

  // From the flat vector to what the backward pass reads.
  void pack_backward(const float* flat, float* weights) const {
    const long H = spec.hidden;
    for (long layer = 0; layer < spec.layers; layer++) {
      const StoredWeights to = stored_weights(weights, layer);
      const int64_t* offset = spec.offsets + PER_LAYER * layer;
      store_gates(flat + offset[0], below(layer), Cell::input_block, to.input);
      if (Cell::RECURRENT) store_gates(flat + offset[1], H, Cell::recurrent_block, to.recurrent);
    }
    const float* from = flat + spec.offsets[PER_LAYER * spec.layers];
    fill_padded(from, spec.outputs, H, stored_readout(weights), hidden);
  }

  // From gradients laid out like weights to a flat vector, all of which is written.
  void unpack(float* gradients, float* flat) const {
    const long H = spec.hidden;
    for (long layer = 0; layer < spec.layers; layer++) {
      const LayerWeights from = layer_weights(gradients, layer);
      const int64_t* offset = spec.offsets + PER_LAYER * layer;
      const long K = below(layer);
      for (long gate = 0; gate < Cell::GATES; gate++) {
        const long in = Cell::input_block(gate) * hidden,
                   rec = Cell::recurrent_block(gate) * hidden;
        transpose(from.input + in, columns, K, H, flat + offset[0] + gate * H * K, K);
        if (Cell::RECURRENT)
          transpose(from.recurrent + rec, columns, H, H, flat + offset[1] + gate * H * H, H);
        if (offset[2] >= 0) std::copy_n(from.bias + in, H, flat + offset[2] + gate * H);
        if (offset[3] >= 0) std::copy_n(from.bias + rec, H, flat + offset[3] + gate * H);
      }
      if (offset[4] >= 0) std::copy_n(from.bias + hidden, H, flat + offset[4]);
    }
    const int64_t* offset = spec.offsets + PER_LAYER * spec.layers;
    transpose(readout(gradients), outputs, H, spec.outputs, flat + offset[0], H);
    if (offset[1] >= 0) std::copy_n(readout_bias(gradients), spec.outputs, flat + offset[1]);
  }

  // Lets the first states of a layer be seen, where they are only memory.
  void show(const LayerTape& at, long count) const {
    if constexpr (Cell::SHOWN) Cell::show(count * hidden, at.c, at.h);
  }

  // Runs all layers; the states before the first step are in the tape.
  void forward(float* weights, const Inputs& given, float* tape, long count) const {
    for (long layer = 0; layer < spec.layers; layer++) {
      const LayerWeights w = layer_weights(weights, layer);
      const LayerTape at = layer_tape(tape, count, layer);
      const float* driving = layer ? outputs_of(tape, count, layer - 1) : given.vectors;
      const long driving_row = layer ? hidden : spec.inputs;
      const bool look_up = !layer && given.one_hot;
      for (long t = 0; t < steps; t++) {
        const long row = t * count;
        const float *h = at.h + row * hidden, *c = at.c + row * hidden;
        float* gates = at.gates + row * columns;
        Term recurrent = {h, hidden, 1, w.recurrent, columns, Cell::RECURRENT ? spec.hidden : 0};
        if (look_up) {
          add_looked_up(w, given.tokens + row, count, gates);
          multiply(count, driven, {gates, columns}, recurrent, gates, columns);
        } else {
          const float* own = driving + row * driving_row;
          Term input = {own, driving_row, 1, w.input, columns, below(layer)};
          multiply(count, driven, {w.bias, 0}, input, gates, columns, recurrent);
          for (long s = 0; driven < columns && s < count; s++)
            std::copy(w.bias + driven, w.bias + columns, gates + s * columns + driven);
        }
        for (long s = 0; s < count; s++)
          Cell::forward(hidden, gates + s * columns, h + s * hidden, c + s * hidden,
                        at.h + (row + count + s) * hidden, at.c + (row + count + s) * hidden,
                        at.tanh_c + (row + s) * hidden);
      }
    }
  }

  // The readout of the last layer at all steps: (T, count, O).
  void read_out(float* weights, float* tape, long count, float* to) const {
    const float* h = outputs_of(tape, count, spec.layers - 1);
    multiply(steps * count, outputs, {readout_bias(weights), 0},
             {h, hidden, 1, readout(weights), outputs, spec.hidden}, to, outputs);
  }

  // From the gradient of the readout to that of the last layer's h, (T, count, H).
  void read_out_backward(float* weights, float* tape, long count, const float* d_outputs,
                         float* above, float* gradients) const {
    const long rows = steps * count;
    multiply(rows, hidden, {nullptr, 0},
             {d_outputs, outputs, 1, stored_readout(weights), hidden, spec.outputs}, above, hidden);
    if (!gradients) return;
    const float* h = outputs_of(tape, count, spec.layers - 1);
    add_turned(spec.hidden, outputs, h, hidden, d_outputs, outputs, rows, readout(gradients),
               outputs);
    add_rows(d_outputs, rows, outputs, readout_bias(gradients));
  }

  // Backward through all layers. `above` (T, count, H) holds the gradient of the last layer's h and
  // is overwritten; `carry_h` and `carry_c` (L, count, H) hold those of the final states and in the
  // end those of the first. `d_gates` (T, count, C) is room to work in: without it, gates of the
  // tape are overwritten. Wanted or not: `gradients` (added to), `d_inputs` (T, count, I).
  void backward(float* weights, const Inputs& given, float* tape, long count, float* above,
                float* carry_h, float* carry_c, float* d_gates, float* gradients, float* d_inputs,
                bool first_states) const {
    const long rows = steps * count;
    for (long layer = spec.layers - 1; layer >= 0; layer--) {
      const StoredWeights w = stored_weights(weights, layer);
      const LayerTape at = layer_tape(tape, count, layer);
      float* d = d_gates ? d_gates : at.gates;
      backward_steps(w.recurrent, at, count, above, carry_h + layer * count * hidden,
                     carry_c + layer * count * hidden, d, first_states);
      if (gradients) add_gradients(layer, given, tape, count, d, layer_weights(gradients, layer));
      float* to = layer ? above : d_inputs;
      const long size = padded(below(layer));
      if (to)
        multiply(rows, size, {nullptr, 0}, {d, columns, 1, w.input, size, driven}, to, size);
    }
  }

 private:
  template <class Block>
  void turn_gates(const float* from, long K, Block block, float* to) const {
    const long H = spec.hidden;
    if (hidden != H || Cell::BLOCKS != Cell::GATES) std::fill_n(to, K * columns, 0.0f);
    for (long gate = 0; gate < Cell::GATES; gate++)
      transpose(from + gate * H * K, K, H, K, to + block(gate) * hidden, columns);
  }

  template <class Block>
  void store_gates(const float* from, long K, Block block, float* to) const {
    const long H = spec.hidden, row = padded(K);
    if (hidden != H || Cell::BLOCKS != Cell::GATES) std::fill_n(to, columns * row, 0.0f);
    for (long gate = 0; gate < Cell::GATES; gate++)
      fill_padded(from + gate * H * K, H, K, to + block(gate) * hidden * row, row);
  }

  long layers_size(long layers) const {
    const long more = spec.hidden + 1;  // recurrent weights and bias
    return !layers ? 0
                   : (below(0) + more + (layers - 1) * (spec.hidden + more)) * columns;
  }
  long stored_size(long layers) const {
    return !layers ? 0 : (inputs + hidden + (layers - 1) * 2 * hidden) * columns;
  }

  // A layer's h after each step, (T, count, H).
  const float* outputs_of(float* tape, long count, long layer) const {
    return layer_tape(tape, count, layer).h + count * hidden;
  }

  void add_looked_up(const LayerWeights& w, const int32_t* tokens, long count, float* gates) const {
    for (long s = 0; s < count; s++)
      for (long j = 0; j < columns; j += WIDTH)
        store(gates + s * columns + j, load(w.bias + j) + load(w.input + tokens[s] * columns + j));
  }

  void backward_steps(const float* recurrent_weights, const LayerTape& at, long count,
                      const float* above, float* carry_h, float* carry_c, float* d_gates,
                      bool first_states) const {
    for (long t = steps - 1; t >= 0; t--) {
      for (long s = 0; s < count; s++) {
        const long row = t * count + s;
        Cell::backward(hidden, at.gates + row * columns, at.h + row * hidden, at.c + row * hidden,
                       at.tanh_c + row * hidden, above + row * hidden, carry_h + s * hidden,
                       carry_c + s * hidden, d_gates + row * columns);
      }
      if (t == 0 && !first_states) break;
      Term recurrent = {d_gates + t * count * columns, columns, 1, recurrent_weights, hidden,
                        Cell::RECURRENT ? driven : 0};
      multiply(count, hidden, {Cell::DIRECT ? carry_h : nullptr, hidden}, recurrent, carry_h,
               hidden);
    }
  }

  void add_gradients(long layer, const Inputs& given, float* tape, long count,
                     const float* d_gates, LayerWeights to) const {
    const long rows = steps * count;
    const float* h = layer_tape(tape, count, layer).h;
    if (Cell::RECURRENT)
      add_turned(spec.hidden, driven, h, hidden, d_gates, columns, rows, to.recurrent, columns);
    add_rows(d_gates, rows, columns, to.bias);
    if (!layer && given.one_hot) {
      for (long row = 0; row < rows; row++)
        add_rows(d_gates + row * columns, 1, columns, to.input + given.tokens[row] * columns);
      return;
    }
    const float* driving = layer ? outputs_of(tape, count, layer - 1) : given.vectors;
    const long driving_row = layer ? hidden : spec.inputs;
    add_turned(below(layer), driven, driving, driving_row, d_gates, columns, rows, to.input,
               columns);
  }

  static void add_rows(const float* from, long rows, long size, float* to) {
    for (long row = 0; row < rows; row++)
      for (long j = 0; j < size; j += WIDTH)
        store(to + j, load(to + j) + load(from + row * size + j));
  }
};
