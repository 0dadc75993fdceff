// Small matrix products.
#pragma once

#include <algorithm>

#include "vectors.h"

// One summand of a product: a (rows, depth) times b (depth, columns).
struct Term {
  const float* a;
  long a_row, a_step;  // from one row of a to the next, and from one number of a row to the next
  const float* b;
  long b_row;
  long depth;
};

// Where the result starts from: 0 where `from` is null; the same row for all where `row` is 0.
struct Start {
  const float* from;
  long row;
};

// result = start + one + two; `columns` is a multiple of WIDTH.
__attribute__((visibility("hidden"))) void multiply(long rows, long columns, Start start, Term one,
                                                    float* result, long result_row,
                                                    Term two = {nullptr, 0, 0, nullptr, 0, 0});

// result (rows, columns) += a^T * b, with a stored (depth, rows). The depth is long (all steps of
// all sequences), so it is taken in pieces that stay in the first cache.
static inline void add_turned(long rows, long columns, const float* a, long a_row, const float* b,
                              long b_row, long depth, float* result, long result_row) {
  constexpr long PIECE = 64;
  for (long done = 0; done < depth; done += PIECE)
    multiply(rows, columns, {result, result_row},
             {a + done * a_row, 1, a_row, b + done * b_row, b_row, std::min(PIECE, depth - done)},
             result, result_row);
}
