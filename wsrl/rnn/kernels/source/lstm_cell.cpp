// The element-wise part of one step of a wide LSTM layer, whose products PyTorch computes for all
// rows at once. R rows of H neurons; gates (R, 4H) in the order i, f, g, o. Arrays are contiguous.

#include <algorithm>

#include "threads.h"

namespace {

// Calls work(row, neuron, lanes) for all of them.
template <class Work>
void for_lanes(long rows, long size, long threads, Work work) {
  const long pieces = threads > 1 ? std::min(rows, 4 * threads) : 1;
  for_each(pieces, threads, [&](long piece) {
    for (long row = rows * piece / pieces; row < rows * (piece + 1) / pieces; row++) {
      long j = 0;
      for (; j + WIDTH <= size; j += WIDTH) work(row, j, Lanes{WIDTH});
      if (j < size) work(row, j, Lanes{size - j});
    }
  });
}

}  // namespace

extern "C" {

// What drives the layer and what recurs make pre-activations; `gates` holds what recurs and then
// the activations. Rows of `driven` are `stride` apart. Writes h, c and tanh(c).
void wsrl_lstm_cell(long rows, long size, long threads, const float* driven, long stride,
                    float* gates, const float* c_before, float* h, float* c, float* tanh_c) {
  for_lanes(rows, size, threads, [=](long row, long j, Lanes lanes) {
    float* at = gates + row * 4 * size + j;
    const float* by = driven + row * stride + j;
    const long to = row * size + j;
    auto sum = [&](long k) { return lanes.read(at + k * size) + lanes.read(by + k * size); };
    Vector i = sigmoid(sum(0)), f = sigmoid(sum(1)), g = tanh_of(sum(2)), o = sigmoid(sum(3));
    Vector memory = f * lanes.read(c_before + to) + i * g, squashed = tanh_of(memory);
    lanes.write(at, i), lanes.write(at + size, f);
    lanes.write(at + 2 * size, g), lanes.write(at + 3 * size, o);
    lanes.write(c + to, memory), lanes.write(tanh_c + to, squashed);
    lanes.write(h + to, o * squashed);
  });
}

// From the gradients of h and c (null where they are zero) to those of the pre-activations and of
// the c before.
void wsrl_lstm_cell_backward(long rows, long size, long threads, const float* activations,
                             const float* c_before, const float* tanh_c, const float* d_h,
                             const float* d_c, float* d_gates, float* d_c_before) {
  const Vector one = all(1.0f);
  for_lanes(rows, size, threads, [=](long row, long j, Lanes lanes) {
    const float* at = activations + row * 4 * size + j;
    float* to = d_gates + row * 4 * size + j;
    const long own = row * size + j;
    Vector i = lanes.read(at), f = lanes.read(at + size);
    Vector g = lanes.read(at + 2 * size), o = lanes.read(at + 3 * size);
    Vector squashed = lanes.read(tanh_c + own);
    Vector above = d_h ? lanes.read(d_h + own) : Vector{};
    Vector memory = d_c ? lanes.read(d_c + own) : Vector{};
    memory += above * o * (one - squashed * squashed);
    lanes.write(to, memory * g * i * (one - i));
    lanes.write(to + size, memory * lanes.read(c_before + own) * f * (one - f));
    lanes.write(to + 2 * size, memory * i * (one - g * g));
    lanes.write(to + 3 * size, above * squashed * o * (one - o));
    lanes.write(d_c_before + own, memory * f);
  });
}
}
