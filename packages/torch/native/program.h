// Programs: the operators of one computation of fixed shapes, recorded once and run again in one call. Of a
// small model the calls from JavaScript take longer than the operators.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

namespace bantam {

/// True while a program is recorded on this thread.
bool is_recording_program();

/// Adds a call that was made, with its arguments as they were before it and its results.
void record_in_program(const c10::OperatorHandle& op, const torch::jit::Stack& arguments,
                       const torch::jit::Stack& results);

/// Says that elements of a tensor were read: what follows may depend on them, so that there is no program
/// if they depend on the inputs.
void note_read(const at::Tensor& tensor);

}  // namespace bantam
