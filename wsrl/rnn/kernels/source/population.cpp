// Populations of small RNNs, each with weights of its own: every thread takes one RNN after the
// other, and runs it from its flat vector to its result while all of it is in that core's cache.
//
// Compiled with -DCELL= a class of cells.h. The plain C functions are what cpu.py calls. Arrays are
// contiguous float32; P RNNs, S sequences each, T steps. Nothing an RNN computes depends on the
// others or on the thread.

#include "cross_entropy.h"
#include "run.h"
#include "threads.h"

extern "C" {

void wsrl_cross_entropy(const Spec* spec, long rnns, long sequences, long steps, long threads,
                        const float* flat, const float* inputs, const int64_t* targets,
                        const float* sequence_weights, float* losses, float* gradient) {
  const CrossEntropyCall call = {*spec,   sequences,        steps,  flat,    inputs,
                                 targets, sequence_weights, losses, gradient};
  for_each(rnns, threads, [&](long rnn) { cross_entropy_of<CELL>(call, rnn); });
}

// How many floats `saved` of wsrl_run needs for one sequence.
long wsrl_saved_size(const Spec* spec, long steps) {
  return Network<CELL>(*spec, steps).tape_size();
}

// How many floats wsrl_pack writes for one RNN.
long wsrl_packed_size(const Spec* spec) { return Network<CELL>(*spec, 1).packed_size(); }

// Brings weights to the form in which they are run, for RNNs that are run many times.
void wsrl_pack(const Spec* spec, long rnns, long threads, const float* flat, float* packed) {
  const Network<CELL> net(*spec, 1);
  for_each(rnns, threads, [&](long rnn) {
    net.pack(flat + rnn * spec->parameters, packed + rnn * net.packed_size());
    net.pack_backward(flat + rnn * spec->parameters, packed + rnn * net.packed_size());
  });
}

// `packed` holds the weights as by wsrl_pack, or is null: then they are packed from `flat` here. So
// it is in the next.
void wsrl_run(const Spec* spec, long rnns, long sequences, long steps, long threads,
              const float* flat, float* packed, const float* inputs, const float* first_h,
              const float* first_c, float* outputs, float* last_h, float* last_c, float* saved) {
  const RunCall call = {*spec,   rnns,    sequences, steps,  flat,   packed, inputs,
                        first_h, first_c, outputs,   last_h, last_c, saved};
  for_each(rnns, threads, [&](long rnn) { run_of<CELL>(call, rnn); });
}

void wsrl_run_backward(const Spec* spec, long rnns, long sequences, long steps, long threads,
                       const float* flat, float* packed, const float* inputs, float* saved,
                       const float* d_outputs, const float* d_last_h, const float* d_last_c,
                       float* d_flat, float* d_inputs, float* d_first_h, float* d_first_c) {
  const RunBackwardCall call = {*spec,     rnns,     sequences, steps,  flat,     packed,
                                inputs,    saved,    d_outputs, d_last_h, d_last_c, d_flat,
                                d_inputs,  d_first_h, d_first_c};
  for_each(rnns, threads, [&](long rnn) { run_backward_of<CELL>(call, rnn); });
}
}
