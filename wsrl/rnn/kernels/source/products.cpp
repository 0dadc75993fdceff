// Products blocked so that a tile of the result stays in registers. Apart from the rest, since the
// many tiles take the compiler as long as all else.

#include "products.h"

#include <array>
#include <utility>

// Loops over a tile must be unrolled in full, or its sums are not kept in registers; loops around
// them not at all, since there are many tiles and the compiler takes its time for each.
#define UNROLLED _Pragma("GCC unroll 16")
#define NOT_UNROLLED _Pragma("GCC unroll 1")

// ROWS x (VECTORS * WIDTH) values of a result, in registers while both terms are summed up.
template <int ROWS, int VECTORS>
static void tile(Start start, Term one, Term two, float* result, long result_row) {
  Vector sums[ROWS][VECTORS];
  UNROLLED for (int m = 0; m < ROWS; m++)
    UNROLLED for (int v = 0; v < VECTORS; v++)
      sums[m][v] = start.from ? load(start.from + m * start.row + v * WIDTH) : Vector{};
  const Term terms[2] = {one, two};
  NOT_UNROLLED for (const Term& term : terms) {
    const float *a = term.a, *b = term.b;
    const long a_row = term.a_row, a_step = term.a_step, b_row = term.b_row;
    NOT_UNROLLED for (long k = term.depth; k > 0; k--) {
      Vector right[VECTORS];
      UNROLLED for (int v = 0; v < VECTORS; v++) right[v] = load(b + v * WIDTH);
      UNROLLED for (int m = 0; m < ROWS; m++) {
        Vector left = all(a[m * a_row]);
        UNROLLED for (int v = 0; v < VECTORS; v++) sums[m][v] += left * right[v];
      }
      a += a_step;
      b += b_row;
    }
  }
  UNROLLED for (int m = 0; m < ROWS; m++)
    UNROLLED for (int v = 0; v < VECTORS; v++)
      store(result + m * result_row + v * WIDTH, sums[m][v]);
}

using Tile = void (*)(Start, Term, Term, float*, long);
constexpr long MOST_ROWS = ACCUMULATORS / 2;

template <int ROWS, int VECTORS>
constexpr Tile tile_if_it_fits() {
  if constexpr (ROWS * VECTORS <= ACCUMULATORS) return tile<ROWS, VECTORS>;
  return nullptr;
}

template <int VECTORS, size_t... ROW>
constexpr std::array<Tile, MOST_ROWS> tiles_of(std::index_sequence<ROW...>) {
  return {tile_if_it_fits<ROW + 1, VECTORS>()...};
}

// Few rows get wide tiles, so that there are always enough sums under way to hide the latency of an
// addition.
void multiply(long rows, long columns, Start start, Term one, float* result, long result_row,
              Term two) {
  constexpr auto sequence = std::make_index_sequence<MOST_ROWS>();
  static constexpr std::array<Tile, MOST_ROWS> tiles[4] = {
      tiles_of<1>(sequence), tiles_of<2>(sequence), tiles_of<4>(sequence), tiles_of<8>(sequence)};
  const long blocks = (rows + MOST_ROWS - 1) / MOST_ROWS;
  for (long column = 0; column < columns;) {
    int wide = 3;
    const auto fits = [&] {
      return column + (WIDTH << wide) <= columns && tiles[wide][(rows + blocks - 1) / blocks - 1];
    };
    while (wide > 0 && !fits()) wide--;
    for (long block = 0; block < blocks; block++) {
      const long row = rows * block / blocks, count = rows * (block + 1) / blocks - row;
      Start from = {start.from ? start.from + row * start.row + column : nullptr, start.row};
      Term first = one, second = two;
      first.a += row * one.a_row, first.b += column;
      second.a += row * two.a_row, second.b += column;
      tiles[wide][count - 1](from, first, second, result + row * result_row + column, result_row);
    }
    column += WIDTH << wide;
  }
}
