#include "guard.h"

#include <algorithm>
#include <array>

namespace bantam {
namespace {

/// Arguments that any entry may have; more are not looked at.
constexpr size_t kMostArguments = 8;

template <typename Work>
napi_value guarded(Call& call, Work&& work) {
  const auto text = [&](const char* problem) { return std::string(call.name) + ": " + problem; };
  try {
    return work();
  } catch (const WrongType& error) {
    napi_throw_type_error(call.env, nullptr, text(error.what()).c_str());
  } catch (const OutOfRange& error) {
    napi_throw_range_error(call.env, nullptr, text(error.what()).c_str());
  } catch (const std::exception& error) {
    throw_in_javascript(call.env, call.name, error);
  } catch (...) {
    throw_message(call.env, text("failed for a reason that is not known"));
  }
  return nullptr;
}

napi_value run(napi_env env, napi_callback_info info) {
  std::array<napi_value, kMostArguments> values{};
  size_t given = values.size();
  void* data = nullptr;
  if (napi_get_cb_info(env, info, &given, values.data(), nullptr, &data) != napi_ok) return nullptr;
  const auto& entry = *static_cast<const Entry*>(data);
  Call call{env, std::span(values).first(std::min(given, values.size())), entry.name};
  return guarded(call, [&] { return entry.function(call); });
}

void finish_from_thread(napi_env env, napi_value, void* context, void* data) {
  const auto& finish = *static_cast<const Finish*>(context);
  Call call{env, {}, finish.name};
  guarded(call, [&]() -> napi_value {
    finish.function(env, data);
    return nullptr;
  });
}

}  // namespace

bool add_entries(napi_env env, napi_value exports, std::span<const Entry> entries) {
  for (const Entry& entry : entries) {
    napi_value function = nullptr;
    // Node gives `data` back unchanged, as a pointer to what is not const.
    auto* data = const_cast<Entry*>(&entry);
    if (napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, run, data, &function) != napi_ok ||
        napi_set_named_property(env, exports, entry.name, function) != napi_ok) {
      return false;
    }
  }
  return true;
}

napi_threadsafe_function callable_from_thread(napi_env env, const Finish& finish) {
  napi_value name = nullptr;
  napi_threadsafe_function made = nullptr;
  auto* context = const_cast<Finish*>(&finish);
  if (napi_create_string_utf8(env, finish.name, NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, context,
                                      finish_from_thread, &made) != napi_ok) {
    return nullptr;
  }
  return made;
}

napi_value guarded_init(napi_env env, napi_value exports, void (*init)(napi_env env, napi_value exports)) {
  Call call{env, {}, "the addon"};
  return guarded(call, [&] {
    init(env, exports);
    return exports;
  });
}

void throw_message(napi_env env, const std::string& text) { napi_throw_error(env, nullptr, text.c_str()); }

}  // namespace bantam
