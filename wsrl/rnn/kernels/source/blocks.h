// What all passes over the sequences of one RNN share.
#pragma once

#include "network.h"

// Sequences are taken in blocks whose tape fits the cache.
constexpr long BLOCK_BYTES = 1 << 19;

static long block_size(long sequences, long floats_each) {
  const long most = std::max<long>(1, BLOCK_BYTES / 4 / floats_each);
  const long blocks = std::max<long>(1, (sequences + most - 1) / most);
  return (sequences + blocks - 1) / blocks;
}

// Copies inputs (sequences of T x I) to their order by step, and says whether all are one-hot.
static void gather_inputs(const float* from, const int32_t* which, long count, long steps, long size,
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

static Inputs place_inputs(Arena& arena, long rows, long size) {
  Inputs inputs = {};
  inputs.vectors = arena.take(rows * size);
  inputs.tokens = (int32_t*)arena.take(rows);
  return inputs;
}
