// Random generators: each is a stream of its own whose state can be saved and restored.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include "arguments.h"
#include "handle.h"

namespace bantam {
namespace {

/// createGenerator(device, seed)
napi_value create_generator(Call& call) {
  const c10::Device device(string_at(call, 0));
  const uint64_t seed = bits_at(call, 1);
  if (device.is_cpu()) return wrap_generator(call.env, at::make_generator<at::CPUGeneratorImpl>(seed));
  auto generator = at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
  generator.set_current_seed(seed);
  return wrap_generator(call.env, std::move(generator));
}

napi_value generator_state(Call& call) { return wrap_tensor(call.env, generator_at(call, 0).get_state()); }

napi_value set_generator_state(Call& call) {
  generator_at(call, 0).set_state(tensor_at(call, 1));
  return nullptr;
}

}  // namespace

void init_random(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {
      {"createGenerator", create_generator},
      {"generatorState", generator_state},
      {"setGeneratorState", set_generator_state},
  };
  add_entries(env, exports, entries);
}

}  // namespace bantam
