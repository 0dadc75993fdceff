// One RNN on some of its sequences: forward and backward through all layers and the readout.
//
// Inside, sizes are filled up to whole vectors (with zeros, which stay zeros), and everything is
// ordered by step: row t * count + s of an array belongs to sequence s at step t. An array is given
// by a pointer to its first row; `count` is the number of sequences at work.
#pragma once

#include <vector>

#include "cells.h"
#include "products.h"

// What the flat vector of an RNN means; filled in from RNNSpec, which alone knows the layout.
struct Spec {
  int64_t inputs, hidden, layers, outputs, parameters;
  // Where tensors begin: for each layer W_ih, W_hh, b_ih, b_hh, then the readout's W and b; -1
  // where there is none.
  const int64_t* offsets;
};

// Hands out pieces of one buffer, or only counts while there is none.
class Arena {
 public:
  explicit Arena(float* base) : base_(base) {}
  float* take(long size) {
    float* piece = base_ ? base_ + used_ : nullptr;
    used_ += (size + 15) / 16 * 16;
    return piece;
  }
  long used() const { return used_; }

 private:
  float* base_;
  long used_ = 0;
};

// A thread's own memory, kept from call to call; it begins at a multiple of 64 bytes.
static inline float* scratch(long size) {
  static thread_local std::vector<float> memory;
  if ((long)memory.size() < size + 16) memory.resize(size + 16);
  return (float*)(((uintptr_t)memory.data() + 63) / 64 * 64);
}

// Weights of a layer, or their gradients, turned so that a product runs along the gates.
struct LayerWeights {
  float *input, *recurrent, *bias;  // (K, C), (H, C), (C); C = blocks of padded neurons
  // The backward pass runs along the neurons below: (C, K) and (C, H), padded. These are in the
  // flat vector itself where nothing has to be filled up, else in the room beside them.
  const float *input_as_stored, *recurrent_as_stored;
  float *input_room, *recurrent_room;
};

struct Weights {
  std::vector<LayerWeights> layers;
  float *readout, *readout_bias;   // (H, O), (O), padded
  const float* readout_as_stored;  // (O, H), padded
  float* readout_room;
};

// What the forward pass leaves for the backward pass.
struct LayerTape {
  float *h, *c;   // (T + 1, count, H): the state before each step and after the last
  float* gates;   // (T, count, C)
  float* tanh_c;  // (T, count, H)
};

// The inputs of some sequences by step: as vectors, or as tokens where all of them are one-hot.
struct Inputs {
  float* vectors;   // (T, count, I)
  int32_t* tokens;  // (T, count)
  bool one_hot;
};

template <class Cell>
class Network {
 public:
  const Spec& spec;
  const long steps, hidden, columns, inputs, outputs;  // padded, all but steps

  Network(const Spec& spec, long steps)
      : spec(spec),
        steps(steps),
        hidden(padded(spec.hidden)),
        columns(Cell::BLOCKS * hidden),
        inputs(padded(spec.inputs)),
        outputs(padded(spec.outputs)) {}

  long below(long layer) const { return layer ? spec.hidden : spec.inputs; }

  Weights place_weights(Arena& arena, bool gradients) const {
    Weights weights;
    for (long layer = 0; layer < spec.layers; layer++) {
      LayerWeights one = {};
      one.input = arena.take(below(layer) * columns);
      one.recurrent = arena.take(spec.hidden * columns);
      one.bias = arena.take(columns);
      if (!gradients) {
        one.input_room = arena.take(columns * padded(below(layer)));
        one.recurrent_room = arena.take(columns * hidden);
      }
      weights.layers.push_back(one);
    }
    weights.readout = arena.take(spec.hidden * outputs);
    weights.readout_bias = arena.take(outputs);
    weights.readout_room = gradients ? nullptr : arena.take(outputs * hidden);
    return weights;
  }

  // How many floats of tape a sequence needs.
  long tape_size() const {
    long states = (steps + 1) * hidden * (Cell::MEMORY ? 2 : 1);
    return spec.layers * (states + steps * (columns + (Cell::MEMORY ? hidden : 0)));
  }

  std::vector<LayerTape> place_tape(float* at, long count) const {
    std::vector<LayerTape> tape;
    auto take = [&](long size) {
      float* piece = at;
      if (at) at += size * count;
      return piece;
    };
    for (long layer = 0; layer < spec.layers; layer++) {
      LayerTape one = {};
      one.h = take((steps + 1) * hidden);
      if (Cell::MEMORY) one.c = take((steps + 1) * hidden);
      one.gates = take(steps * columns);
      if (Cell::MEMORY) one.tanh_c = take(steps * hidden);
      tape.push_back(one);
    }
    return tape;
  }

  // From the flat vector to what the forward pass reads.
  void pack(const float* flat, Weights& weights) const {
    const long H = spec.hidden;
    for (long layer = 0; layer < spec.layers; layer++) {
      LayerWeights& to = weights.layers[layer];
      const int64_t* offset = spec.offsets + 4 * layer;
      turn_gates(flat + offset[0], below(layer), Cell::input_block, to.input);
      turn_gates(flat + offset[1], H, Cell::recurrent_block, to.recurrent);
      std::fill_n(to.bias, columns, 0.0f);
      if (offset[2] < 0) continue;
      for (long gate = 0; gate < Cell::GATES; gate++) {
        float* input_bias = to.bias + Cell::input_block(gate) * hidden;
        float* recurrent_bias = to.bias + Cell::recurrent_block(gate) * hidden;
        for (long j = 0; j < H; j++) input_bias[j] += flat[offset[2] + gate * H + j];
        for (long j = 0; j < H; j++) recurrent_bias[j] += flat[offset[3] + gate * H + j];
      }
    }
    const int64_t* offset = spec.offsets + 4 * spec.layers;
    std::fill_n(weights.readout, H * outputs, 0.0f);
    transpose(flat + offset[0], H, spec.outputs, H, weights.readout, outputs);
    std::fill_n(weights.readout_bias, outputs, 0.0f);
    if (offset[1] >= 0) std::copy_n(flat + offset[1], spec.outputs, weights.readout_bias);
  }

  // From the flat vector to what the backward pass reads.
  void pack_backward(const float* flat, Weights& weights) const {
    const long H = spec.hidden;
    for (long layer = 0; layer < spec.layers; layer++) {
      LayerWeights& to = weights.layers[layer];
      const int64_t* offset = spec.offsets + 4 * layer;
      to.input_as_stored =
          as_stored(flat + offset[0], below(layer), Cell::input_block, to.input_room);
      to.recurrent_as_stored =
          as_stored(flat + offset[1], H, Cell::recurrent_block, to.recurrent_room);
    }
    const float* readout = flat + spec.offsets[4 * spec.layers];
    weights.readout_as_stored = hidden == H ? readout : weights.readout_room;
    if (hidden == H) return;
    std::fill_n(weights.readout_room, spec.outputs * hidden, 0.0f);
    for (long o = 0; o < spec.outputs; o++)
      std::copy_n(readout + o * H, H, weights.readout_room + o * hidden);
  }

  // From gradients laid out like `weights` to a flat vector, all of which is written.
  void unpack(const Weights& gradients, float* flat) const {
    const long H = spec.hidden;
    for (long layer = 0; layer < spec.layers; layer++) {
      const LayerWeights& from = gradients.layers[layer];
      const int64_t* offset = spec.offsets + 4 * layer;
      const long K = below(layer);
      for (long gate = 0; gate < Cell::GATES; gate++) {
        const long in = Cell::input_block(gate) * hidden,
                   rec = Cell::recurrent_block(gate) * hidden;
        transpose(from.input + in, columns, K, H, flat + offset[0] + gate * H * K, K);
        transpose(from.recurrent + rec, columns, H, H, flat + offset[1] + gate * H * H, H);
        if (offset[2] < 0) continue;
        std::copy_n(from.bias + in, H, flat + offset[2] + gate * H);
        std::copy_n(from.bias + rec, H, flat + offset[3] + gate * H);
      }
    }
    const int64_t* offset = spec.offsets + 4 * spec.layers;
    transpose(gradients.readout, outputs, H, spec.outputs, flat + offset[0], H);
    if (offset[1] >= 0) std::copy_n(gradients.readout_bias, spec.outputs, flat + offset[1]);
  }

  void clear(Weights& gradients) const {
    for (long layer = 0; layer < spec.layers; layer++) {
      LayerWeights& one = gradients.layers[layer];
      std::fill_n(one.input, below(layer) * columns, 0.0f);
      std::fill_n(one.recurrent, spec.hidden * columns, 0.0f);
      std::fill_n(one.bias, columns, 0.0f);
    }
    std::fill_n(gradients.readout, spec.hidden * outputs, 0.0f);
    std::fill_n(gradients.readout_bias, outputs, 0.0f);
  }

  // Runs all layers; the states before the first step are in the tape.
  void forward(const Weights& weights, const Inputs& given, std::vector<LayerTape>& tape,
               long count) const {
    for (long layer = 0; layer < spec.layers; layer++) {
      const LayerWeights& w = weights.layers[layer];
      LayerTape& at = tape[layer];
      const float* driving = layer ? tape[layer - 1].h + count * hidden : given.vectors;
      const long driving_row = layer ? hidden : spec.inputs;
      const bool look_up = !layer && given.one_hot;
      for (long t = 0; t < steps; t++) {
        const long row = t * count;
        const float *h = at.h + row * hidden, *c = at.c + row * hidden;
        float* gates = at.gates + row * columns;
        Term recurrent = {h, hidden, 1, w.recurrent, columns, spec.hidden};
        if (look_up) {
          add_looked_up(w, given.tokens + row, count, gates);
          multiply(count, columns, {gates, columns}, recurrent, gates, columns);
        } else {
          Term input = {driving + row * driving_row, driving_row, 1, w.input, columns, below(layer)};
          multiply(count, columns, {w.bias, 0}, input, gates, columns, recurrent);
        }
        for (long s = 0; s < count; s++)
          Cell::forward(hidden, gates + s * columns, h + s * hidden, c + s * hidden,
                        at.h + (row + count + s) * hidden, at.c + (row + count + s) * hidden,
                        at.tanh_c + (row + s) * hidden);
      }
    }
  }

  // The readout of the last layer at all steps: (T, count, O).
  void read_out(const Weights& weights, const std::vector<LayerTape>& tape, long count,
                float* to) const {
    const float* h = tape.back().h + count * hidden;
    multiply(steps * count, outputs, {weights.readout_bias, 0},
             {h, hidden, 1, weights.readout, outputs, spec.hidden}, to, outputs);
  }

  // From the gradient of the readout to that of the last layer's h, (T, count, H).
  void read_out_backward(const Weights& weights, const std::vector<LayerTape>& tape, long count,
                         const float* d_outputs, float* above, Weights* gradients) const {
    const long rows = steps * count;
    multiply(rows, hidden, {nullptr, 0},
             {d_outputs, outputs, 1, weights.readout_as_stored, hidden, spec.outputs}, above, hidden);
    if (!gradients) return;
    const float* h = tape.back().h + count * hidden;
    add_turned(spec.hidden, outputs, h, hidden, d_outputs, outputs, rows, gradients->readout,
               outputs);
    add_rows(d_outputs, rows, outputs, gradients->readout_bias);
  }

  // Backward through all layers. `above` (T, count, H) holds the gradient of the last layer's h and
  // is overwritten; `carry_h` and `carry_c` (L, count, H) hold those of the final states and in the
  // end those of the first. `d_gates` (T, count, C) is room to work in: without it, gates of the
  // tape are overwritten. Wanted or not: `gradients` (added to), `d_inputs` (T, count, I).
  void backward(const Weights& weights, const Inputs& given, const std::vector<LayerTape>& tape,
                long count, float* above, float* carry_h, float* carry_c, float* d_gates,
                Weights* gradients, float* d_inputs, bool first_states) const {
    const long rows = steps * count;
    for (long layer = spec.layers - 1; layer >= 0; layer--) {
      const LayerWeights& w = weights.layers[layer];
      const LayerTape& at = tape[layer];
      float* d = d_gates ? d_gates : at.gates;
      backward_steps(w, at, count, above, carry_h + layer * count * hidden,
                     carry_c + layer * count * hidden, d, first_states);
      if (gradients) add_gradients(layer, given, tape, count, d, gradients->layers[layer]);
      float* to = layer ? above : d_inputs;
      const long size = padded(below(layer));
      if (to)
        multiply(rows, size, {nullptr, 0}, {d, columns, 1, w.input_as_stored, size, columns}, to,
                 size);
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
  const float* as_stored(const float* from, long K, Block block, float* room) const {
    const long H = spec.hidden, row = padded(K);
    if (row == K && hidden == H && Cell::BLOCKS == Cell::GATES) return from;
    std::fill_n(room, columns * row, 0.0f);
    for (long gate = 0; gate < Cell::GATES; gate++)
      for (long j = 0; j < H; j++)
        std::copy_n(from + (gate * H + j) * K, K, room + (block(gate) * hidden + j) * row);
    return room;
  }

  void add_looked_up(const LayerWeights& w, const int32_t* tokens, long count, float* gates) const {
    for (long s = 0; s < count; s++)
      for (long j = 0; j < columns; j += WIDTH)
        store(gates + s * columns + j, load(w.bias + j) + load(w.input + tokens[s] * columns + j));
  }

  void backward_steps(const LayerWeights& w, const LayerTape& at, long count, const float* above,
                      float* carry_h, float* carry_c, float* d_gates, bool first_states) const {
    for (long t = steps - 1; t >= 0; t--) {
      for (long s = 0; s < count; s++) {
        const long row = t * count + s;
        Cell::backward(hidden, at.gates + row * columns, at.h + row * hidden, at.c + row * hidden,
                       at.tanh_c + row * hidden, above + row * hidden, carry_h + s * hidden,
                       carry_c + s * hidden, d_gates + row * columns);
      }
      if (t == 0 && !first_states) break;
      Term recurrent = {d_gates + t * count * columns, columns, 1, w.recurrent_as_stored, hidden,
                        columns};
      multiply(count, hidden, {Cell::DIRECT ? carry_h : nullptr, hidden}, recurrent, carry_h,
               hidden);
    }
  }

  void add_gradients(long layer, const Inputs& given, const std::vector<LayerTape>& tape,
                     long count, const float* d_gates, LayerWeights& to) const {
    const long rows = steps * count;
    add_turned(spec.hidden, columns, tape[layer].h, hidden, d_gates, columns, rows, to.recurrent,
               columns);
    add_rows(d_gates, rows, columns, to.bias);
    if (!layer && given.one_hot) {
      for (long row = 0; row < rows; row++)
        add_rows(d_gates + row * columns, 1, columns, to.input + given.tokens[row] * columns);
      return;
    }
    const float* driving = layer ? tape[layer - 1].h + count * hidden : given.vectors;
    const long driving_row = layer ? hidden : spec.inputs;
    add_turned(below(layer), columns, driving, driving_row, d_gates, columns, rows, to.input,
               columns);
  }

  static void add_rows(const float* from, long rows, long size, float* to) {
    for (long row = 0; row < rows; row++)
      for (long j = 0; j < size; j += WIDTH)
        store(to + j, load(to + j) + load(from + row * size + j));
  }
};
