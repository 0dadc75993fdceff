// The cells: one step forward and one step back for one sequence, `size` neurons (a multiple of
// WIDTH). A cell says how its gates lie in a row of pre-activations, which has BLOCKS blocks of
// `size`: gate g of the input weights adds to block input_block(g), gate g of the recurrent
// weights to block recurrent_block(g). Gates are in the order of torch.nn. Weights add to the first
// DRIVEN blocks; the others hold a bias.
//
// forward:  pre-activations in `gates` become activations; writes h, and for an LSTM c and tanh(c).
// backward: `carry_h` and `carry_c` hold the gradients that come from the step after; `above` the
//           gradient of h from the layer above or the readout. Writes the gradients of the
//           pre-activations to `d_gates` (which may be `gates`), and what goes to the step before
//           other than through the recurrent weights back to the carries.
//
// The state from step to step is h, and c where there is MEMORY; it is c alone where h is only
// SHOWN, a function of c.
#pragma once

#include "vectors.h"

// What cells have unless they say otherwise.
struct Usual {
  static constexpr bool MEMORY = false, SHOWN = false;
  static constexpr bool DIRECT = false;     // whether `carry_h` goes back in other ways, too
  static constexpr bool RECURRENT = true;   // whether there are recurrent weights
  static long input_block(long gate) { return gate; }
  static long recurrent_block(long gate) { return gate; }
};

struct LSTM : Usual {
  static constexpr long GATES = 4, BLOCKS = 4, DRIVEN = 4;  // i, f, g, o
  static constexpr bool MEMORY = true;

  static void forward(long size, float* gates, const float*, const float* c_before, float* h,
                      float* c, float* tanh_c) {
    for (long j = 0; j < size; j += WIDTH) {
      float* at = gates + j;
      Vector i = sigmoid(load(at)), f = sigmoid(load(at + size));
      Vector g = tanh_of(load(at + 2 * size)), o = sigmoid(load(at + 3 * size));
      Vector memory = f * load(c_before + j) + i * g, squashed = tanh_of(memory);
      store(at, i), store(at + size, f), store(at + 2 * size, g), store(at + 3 * size, o);
      store(c + j, memory), store(tanh_c + j, squashed), store(h + j, o * squashed);
    }
  }

  static void backward(long size, const float* gates, const float*, const float* c_before,
                       const float* tanh_c, const float* above, float* carry_h, float* carry_c,
                       float* d_gates) {
    const Vector one = all(1.0f);
    for (long j = 0; j < size; j += WIDTH) {
      const float* at = gates + j;
      float* to = d_gates + j;
      Vector i = load(at), f = load(at + size), g = load(at + 2 * size), o = load(at + 3 * size);
      Vector squashed = load(tanh_c + j), d_h = load(above + j) + load(carry_h + j);
      Vector d_c = load(carry_c + j) + d_h * o * (one - squashed * squashed);
      store(to, d_c * g * i * (one - i));
      store(to + size, d_c * load(c_before + j) * f * (one - f));
      store(to + 2 * size, d_c * i * (one - g * g));
      store(to + 3 * size, d_h * squashed * o * (one - o));
      store(carry_c + j, d_c * f);
    }
  }
};

struct GRU : Usual {
  // r, z, and n in two parts, since the reset gate acts on the recurrent part alone.
  static constexpr long GATES = 3, BLOCKS = 4, DRIVEN = 4;
  static constexpr bool DIRECT = true;
  static long recurrent_block(long gate) { return gate < 2 ? gate : 3; }

  static void forward(long size, float* gates, const float* h_before, const float*, float* h,
                      float*, float*) {
    for (long j = 0; j < size; j += WIDTH) {
      float* at = gates + j;
      Vector r = sigmoid(load(at)), z = sigmoid(load(at + size));
      Vector n = tanh_of(load(at + 2 * size) + r * load(at + 3 * size));
      store(at, r), store(at + size, z), store(at + 2 * size, n);
      store(h + j, n + z * (load(h_before + j) - n));
    }
  }

  static void backward(long size, const float* gates, const float* h_before, const float*,
                       const float*, const float* above, float* carry_h, float*, float* d_gates) {
    const Vector one = all(1.0f);
    for (long j = 0; j < size; j += WIDTH) {
      const float* at = gates + j;
      float* to = d_gates + j;
      Vector r = load(at), z = load(at + size), n = load(at + 2 * size);
      Vector recurrent = load(at + 3 * size), d_h = load(above + j) + load(carry_h + j);
      Vector d_n = d_h * (one - z) * (one - n * n);
      store(to, d_n * recurrent * r * (one - r));
      store(to + size, d_h * (load(h_before + j) - n) * z * (one - z));
      store(to + 2 * size, d_n);
      store(to + 3 * size, d_n * r);
      store(carry_h + j, d_h * z);
    }
  }
};

// k and a, which do not depend on the state.
struct MinGRU : Usual {
  static constexpr long GATES = 2, BLOCKS = 2, DRIVEN = 2;
  static constexpr bool DIRECT = true, RECURRENT = false;

  static void forward(long size, float* gates, const float* h_before, const float*, float* h,
                      float*, float*) {
    for (long j = 0; j < size; j += WIDTH) {
      Vector k = load(gates + j), z = sigmoid(load(gates + size + j)), before = load(h_before + j);
      Vector fresh = k > Vector{} ? k + all(0.5f) : sigmoid(k);
      store(gates + j, fresh), store(gates + size + j, z);
      store(h + j, before + z * (fresh - before));
    }
  }

  static void backward(long size, const float* gates, const float* h_before, const float*,
                       const float*, const float* above, float* carry_h, float*, float* d_gates) {
    const Vector one = all(1.0f);
    for (long j = 0; j < size; j += WIDTH) {
      Vector fresh = load(gates + j), z = load(gates + size + j);
      Vector d_h = load(above + j) + load(carry_h + j), d_fresh = d_h * z;
      store(d_gates + j, fresh > all(0.5f) ? d_fresh : d_fresh * fresh * (one - fresh));
      store(d_gates + size + j, d_h * (fresh - load(h_before + j)) * z * (one - z));
      store(carry_h + j, d_h * (one - z));
    }
  }
};

// Leaky cells have two blocks: the sum, and the leak.

// h leaks towards what the sum activates.
template <class Activation>
struct LeakyRate : Usual {
  static constexpr long GATES = 1, BLOCKS = 2, DRIVEN = 1;
  static constexpr bool DIRECT = true;

  static void forward(long size, float* gates, const float* h_before, const float*, float* h,
                      float*, float*) {
    for (long j = 0; j < size; j += WIDTH) {
      Vector value = Activation::of(load(gates + j)), before = load(h_before + j);
      store(gates + j, value);
      store(h + j, before + load(gates + size + j) * (value - before));
    }
  }

  static void backward(long size, const float* gates, const float* h_before, const float*,
                       const float*, const float* above, float* carry_h, float*, float* d_gates) {
    for (long j = 0; j < size; j += WIDTH) {
      Vector value = load(gates + j), leak = load(gates + size + j);
      Vector d_h = load(above + j) + load(carry_h + j);
      store(d_gates + j, Activation::back(value, d_h * leak));
      store(d_gates + size + j, d_h * (value - load(h_before + j)));
      store(carry_h + j, d_h * (all(1.0f) - leak));
    }
  }
};

// c leaks towards the sum; h, its activation, is only shown.
template <class Activation>
struct LeakyState : Usual {
  static constexpr long GATES = 1, BLOCKS = 2, DRIVEN = 1;
  static constexpr bool MEMORY = true, SHOWN = true;

  static void show(long size, const float* c, float* h) {
    for (long j = 0; j < size; j += WIDTH) store(h + j, Activation::of(load(c + j)));
  }
  static void show_backward(long size, const float* h, const float* d_h, float* d_c) {
    for (long j = 0; j < size; j += WIDTH)
      store(d_c + j, load(d_c + j) + Activation::back(load(h + j), load(d_h + j)));
  }

  static void forward(long size, float* gates, const float*, const float* c_before, float* h,
                      float* c, float* shown) {
    for (long j = 0; j < size; j += WIDTH) {
      Vector before = load(c_before + j);
      store(c + j, before + load(gates + size + j) * (load(gates + j) - before));
    }
    show(size, c, h), show(size, c, shown);
  }

  static void backward(long size, const float* gates, const float*, const float* c_before,
                       const float* shown, const float* above, float* carry_h, float* carry_c,
                       float* d_gates) {
    for (long j = 0; j < size; j += WIDTH) {
      Vector sum = load(gates + j), leak = load(gates + size + j);
      Vector d_h = load(above + j) + load(carry_h + j);
      Vector d_c = load(carry_c + j) + Activation::back(load(shown + j), d_h);
      store(d_gates + j, d_c * leak);
      store(d_gates + size + j, d_c * (sum - load(c_before + j)));
      store(carry_c + j, d_c * (all(1.0f) - leak));
    }
  }
};

// An Elman cell: h is a function of the pre-activation, whose slope is known from h.
template <class Activation>
struct Elman : Usual {
  static constexpr long GATES = 1, BLOCKS = 1, DRIVEN = 1;

  static void forward(long size, float* gates, const float*, const float*, float* h, float*,
                      float*) {
    for (long j = 0; j < size; j += WIDTH) {
      Vector value = Activation::of(load(gates + j));
      store(gates + j, value), store(h + j, value);
    }
  }

  static void backward(long size, const float* gates, const float*, const float*, const float*,
                       const float* above, float* carry_h, float*, float* d_gates) {
    for (long j = 0; j < size; j += WIDTH) {
      Vector d_h = load(above + j) + load(carry_h + j);
      store(d_gates + j, Activation::back(load(gates + j), d_h));
    }
  }
};

struct Tanh {
  static Vector of(Vector x) { return tanh_of(x); }
  static Vector back(Vector h, Vector d_h) { return d_h * (all(1.0f) - h * h); }
};

struct Softplus {
  static Vector of(Vector x) {
    Vector y = exp_of(x > Vector{} ? -x : x);  // log(1 + y) = 2 artanh(y / (2 + y))
    Vector z = y * reciprocal(y + all(2.0f)), square = z * z, sum = all(2.0f / 13);
    for (int odd = 11; odd > 0; odd -= 2) sum = sum * square + all(2.0f / odd);
    return (x <= Vector{} ? Vector{} : x) + z * sum;
  }
  static Vector back(Vector h, Vector d_h) {
    Exponential e = exponential(clamp(h, 0.0f, 87.0f), -1.0f);
    return d_h * ((all(1.0f) - e.scale) - e.scale * e.part);
  }
};

struct Identity {
  static Vector of(Vector x) { return x; }
  static Vector back(Vector, Vector d_h) { return d_h; }
};

// What is NaN passes: a comparison with it is false.
struct ReLU {
  static Vector of(Vector x) { return x <= Vector{} ? Vector{} : x; }
  static Vector back(Vector h, Vector d_h) { return h <= Vector{} ? Vector{} : d_h; }
};
