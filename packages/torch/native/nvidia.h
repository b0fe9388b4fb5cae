#pragma once

#include <napi.h>

#include <string>

namespace bantam {

/// Loads libtorch's CUDA library if this machine has a driver, unless BANTAM_CUDA is 0. libtorch looks for CUDA
/// once, in the first backward pass at the latest: what is loaded after that stays unknown to it.
void load_cuda_with_driver();

/// Loads libtorch's CUDA library; what the system's loader says if it cannot, else an empty string.
std::string load_cuda_library();

void init_nvidia(napi_env env, napi_value exports);

}  // namespace bantam
