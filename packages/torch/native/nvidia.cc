// NVIDIA's driver, asked by the names of its functions without its headers, and libtorch's CUDA library, which
// nothing in the addon links: one addon serves machines with and without it.
#include "nvidia.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "arguments.h"

namespace bantam {
namespace {

/// Attributes of a device, by the driver's numbers (CUdevice_attribute).
constexpr int kCapabilityMajor = 75, kCapabilityMinor = 76;

/// The driver's library, which stays loaded; null without a driver.
void* driver() {
  static void* const library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  return library;
}

/// libtorch's CUDA library: found, as libtorch itself, through the link beside the addon.
struct CudaLibrary {
  void* library;
  std::string failure;
};

const CudaLibrary& cuda_library() {
  static const CudaLibrary found = [] {
    void* const library = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
    const char* const failure = library == nullptr ? dlerror() : nullptr;
    return CudaLibrary{library, failure == nullptr ? "" : failure};
  }();
  return found;
}

/// Calls one of a library's functions, which return 0 for success; -1 if it has none of that name.
template <typename... Arguments>
int call(void* library, const char* name, Arguments... arguments) {
  auto* const function = reinterpret_cast<int (*)(Arguments...)>(dlsym(library, name));
  return function == nullptr ? -1 : function(arguments...);
}

Napi::Object describe_device(Napi::Env env, int index) {
  int device = 0, major = 0, minor = 0;
  size_t bytes = 0;
  std::array<char, 128> name{};
  call(driver(), "cuDeviceGet", &device, index);
  call(driver(), "cuDeviceGetName", name.data(), static_cast<int>(name.size() - 1), device);
  call(driver(), "cuDeviceGetAttribute", &major, kCapabilityMajor, device);
  call(driver(), "cuDeviceGetAttribute", &minor, kCapabilityMinor, device);
  call(driver(), "cuDeviceTotalMem_v2", &bytes, device);
  auto result = Napi::Object::New(env);
  result["name"] = name.data();
  result["capability"] = std::to_string(major) + "." + std::to_string(minor);
  result["bytes"] = static_cast<double>(bytes);
  return result;
}

/// nvidiaDriver() → { version, error, devices } or null; versions are 1000·major + 10·minor, and the error is
/// cuInit's.
napi_value nvidia_driver(Call& from) {
  const Napi::Env env(from.env);
  if (driver() == nullptr) return env.Null();
  int version = 0, count = 0;
  call(driver(), "cuDriverGetVersion", &version);
  const int error = call(driver(), "cuInit", 0U);
  if (error == 0) call(driver(), "cuDeviceGetCount", &count);
  auto devices = Napi::Array::New(env);
  for (int i = 0; i < count; i++) devices[static_cast<uint32_t>(i)] = describe_device(env, i);
  auto result = Napi::Object::New(env);
  result["version"] = version;
  result["error"] = error;
  result["devices"] = devices;
  return result;
}

/// loadCuda() → the CUDA version of libtorch's libraries, as above, or why they do not load
napi_value load_cuda(Call& from) {
  const auto& [library, failure] = cuda_library();
  if (library == nullptr) return Napi::String::New(from.env, failure);
  int version = 0;
  call(library, "cudaRuntimeGetVersion", &version);
  return Napi::Number::New(from.env, version);
}

}  // namespace

void load_cuda_with_driver() {
  const char* const choice = std::getenv("BANTAM_CUDA");
  if (choice != nullptr && std::strcmp(choice, "0") == 0) return;
  if (driver() != nullptr) cuda_library();
}

std::string load_cuda_library() { return cuda_library().failure; }

void init_nvidia(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {{"nvidiaDriver", nvidia_driver}, {"loadCuda", load_cuda}};
  add_entries(env, exports, entries);
}

}  // namespace bantam
