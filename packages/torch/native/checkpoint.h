// Activation checkpointing: parts of the graph that keep nothing for the backward pass, and run again.
#pragma once

#include <ATen/core/Generator.h>

namespace bantam {

/// Takes down the position of a random stream before the function of a checkpoint first draws from it.
void note_draw(const at::Generator& generator);

}  // namespace bantam
