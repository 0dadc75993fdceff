// Small matrix products, blocked so that a tile of the result stays in registers.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "vectors.h"

// One summand of a product: a (rows, depth) times b (depth, columns).
struct Term {
  const float* a;
  long a_row;  // from one stored row of a to the next; of a turned a these run over the depth
  const float* b;
  long b_row;
  long depth;
};

// Where the result starts from: 0 where `from` is null; the same row for all where `row` is 0.
struct Start {
  const float* from;
  long row;
};

// ROWS x (VECTORS * WIDTH) values of a result, in registers while both terms are summed up.
template <int ROWS, int VECTORS, bool TURNED>
static void tile(Start start, Term one, Term two, float* result, long result_row) {
  Vector sums[ROWS][VECTORS];
  for (int m = 0; m < ROWS; m++)
    for (int v = 0; v < VECTORS; v++)
      sums[m][v] = start.from ? load(start.from + m * start.row + v * WIDTH) : Vector{};
  for (const Term& term : {one, two}) {
    const float *a = term.a, *b = term.b;
    const long a_row = term.a_row;
    for (long k = 0; k < term.depth; k++) {
      Vector right[VECTORS];
      for (int v = 0; v < VECTORS; v++) right[v] = load(b + v * WIDTH);
      for (int m = 0; m < ROWS; m++) {
        Vector left = all(TURNED ? a[m] : a[m * a_row]);
        for (int v = 0; v < VECTORS; v++) sums[m][v] += left * right[v];
      }
      a += TURNED ? a_row : 1;
      b += term.b_row;
    }
  }
  for (int m = 0; m < ROWS; m++)
    for (int v = 0; v < VECTORS; v++) store(result + m * result_row + v * WIDTH, sums[m][v]);
}

using Tile = void (*)(Start, Term, Term, float*, long);
constexpr long MOST_ROWS = ACCUMULATORS / 2;

template <int ROWS, int VECTORS, bool TURNED>
constexpr Tile tile_if_it_fits() {
  if constexpr (ROWS * VECTORS <= ACCUMULATORS) return tile<ROWS, VECTORS, TURNED>;
  return nullptr;
}

template <int VECTORS, bool TURNED, size_t... ROW>
constexpr std::array<Tile, MOST_ROWS> tiles_of(std::index_sequence<ROW...>) {
  return {tile_if_it_fits<ROW + 1, VECTORS, TURNED>()...};
}

// result = start + one + two; `columns` is a multiple of WIDTH. Few rows get wide tiles, so that
// there are always enough sums under way to hide the latency of an addition.
template <bool TURNED>
static void product(long rows, long columns, Start start, Term one, Term two, float* result,
                    long result_row) {
  constexpr auto sequence = std::make_index_sequence<MOST_ROWS>();
  static constexpr std::array<Tile, MOST_ROWS> tiles[4] = {
      tiles_of<1, TURNED>(sequence), tiles_of<2, TURNED>(sequence), tiles_of<4, TURNED>(sequence),
      tiles_of<8, TURNED>(sequence)};
  const long blocks = (rows + MOST_ROWS - 1) / MOST_ROWS;
  for (long column = 0; column < columns;) {
    int wide = 3;
    const auto fits = [&] {
      return column + (WIDTH << wide) <= columns && tiles[wide][(rows + blocks - 1) / blocks - 1];
    };
    while (wide > 0 && !fits()) wide--;
    for (long block = 0; block < blocks; block++) {
      const long row = rows * block / blocks, count = rows * (block + 1) / blocks - row;
      const long skip = TURNED ? 1 : one.a_row, skip_two = TURNED ? 1 : two.a_row;
      Start from = {start.from ? start.from + row * start.row + column : nullptr, start.row};
      Term first = {one.a + row * skip, one.a_row, one.b + column, one.b_row, one.depth};
      Term second = {two.a + row * skip_two, two.a_row, two.b + column, two.b_row, two.depth};
      tiles[wide][count - 1](from, first, second, result + row * result_row + column, result_row);
    }
    column += WIDTH << wide;
  }
}

// result (rows, columns) = start + a (rows, depth) * b (depth, columns) [+ the same of a second]
static inline void multiply(long rows, long columns, Start start, Term one, float* result,
                            long result_row, Term two = {nullptr, 0, nullptr, 0, 0}) {
  product<false>(rows, columns, start, one, two, result, result_row);
}

// result (rows, columns) += a^T * b, with a stored (depth, rows). The depth is long (all steps of
// all sequences), so it is taken in pieces that stay in the first cache.
static inline void add_turned(long rows, long columns, Term term, float* result, long result_row) {
  constexpr long PIECE = 64;
  const Term none = {nullptr, 0, nullptr, 0, 0};
  for (long done = 0; done < term.depth; done += PIECE) {
    Term piece = {term.a + done * term.a_row, term.a_row, term.b + done * term.b_row, term.b_row,
                  std::min(PIECE, term.depth - done)};
    product<true>(rows, columns, {result, result_row}, piece, none, result, result_row);
  }
}
