// What all passes over the sequences of one RNN share.
#pragma once

#include "network.h"

// Sequences are taken in blocks whose tape fits the cache, and a step of all of them the first.
constexpr long BLOCK_BYTES = 1 << 19, MOST_SEQUENCES = 24;

static long block_size(long sequences, long floats_each) {
  const long most = std::max<long>(1, std::min(MOST_SEQUENCES, BLOCK_BYTES / 4 / floats_each));
  const long blocks = std::max<long>(1, (sequences + most - 1) / most);
  return (sequences + blocks - 1) / blocks;
}

// Finds the tokens of inputs that are all one-hot. `which` says which sequences (of T x I) are
// meant; null stands for the first ones. Returns false where one is not.
static bool find_tokens(const float* from, const int32_t* which, long count, long steps, long size,
                        int32_t* tokens) {
  for (long s = 0; s < count; s++)
    for (long t = 0; t < steps; t++) {
      const float* row = from + ((which ? which[s] : s) * steps + t) * size;
      int32_t ones = 0, zeros = 0, token = 0;
      for (int32_t k = 0; k < size; k++) {  // without branches, since tokens cannot be foreseen
        const int32_t one = row[k] == 1.0f;
        zeros += row[k] == 0.0f, ones += one, token += k & -one;
      }
      if (ones != 1 || zeros != size - 1) return false;
      tokens[t * count + s] = token;
    }
  return true;
}

// Brings inputs to their order by step.
static void gather_inputs(const float* from, const int32_t* which, long count, long steps,
                          long size, Inputs& to) {
  to.one_hot = find_tokens(from, which, count, steps, size, to.tokens);
  if (to.one_hot) return;
  for (long s = 0; s < count; s++)
    for (long t = 0; t < steps; t++)
      std::copy_n(from + ((which ? which[s] : s) * steps + t) * size, size,
                  to.vectors + (t * count + s) * size);
}

static Inputs place_inputs(Arena& arena, long rows, long size) {
  Inputs inputs = {};
  inputs.vectors = arena.take(rows * size);
  inputs.tokens = arena.take<int32_t>(rows);
  return inputs;
}
