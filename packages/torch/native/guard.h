// The door from JavaScript into an addon. Its functions are registered here and nowhere else: each runs
// inside a guard that turns whatever it throws into a JavaScript error, as an exception that reaches
// Node's own frames ends the process.
//
// Plain Node-API: a worker may be ended in the middle of a call. From then on every call into Node
// fails, and a guard that insisted on its error would end the process.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>

namespace bantam {

/// A call from JavaScript.
struct Call {
  napi_env env;
  std::span<const napi_value> arguments;
  const char* name;  // errors begin with it; may be replaced by a more exact one
};

/// A function of an addon. It returns undefined by returning nullptr.
struct Entry {
  const char* name;
  napi_value (*function)(Call& call);
};

/// An argument that is of the wrong kind: a TypeError in JavaScript.
class WrongType : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An argument that is outside its range: a RangeError in JavaScript.
class OutOfRange : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Adds functions to an addon's exports. They must be there as long as the process.
bool add_entries(napi_env env, napi_value exports, std::span<const Entry> entries);

/// A function that threads have Node call: `env` is nullptr if Node is about to end.
struct Finish {
  const char* name;
  void (*function)(napi_env env, void* data);
};

/// Lets a thread hand data over to `finish`, which Node runs on its own thread, inside the guard; nullptr after a
/// failure. `finish` must be there as long as the process.
napi_threadsafe_function callable_from_thread(napi_env env, const Finish& finish);

/// Runs what an addon does when it is loaded, inside the same guard; exports, or nullptr after a failure.
napi_value guarded_init(napi_env env, napi_value exports, void (*init)(napi_env env, napi_value exports));

/// Throws an error that is neither of those above in JavaScript. Each addon has its own.
void throw_in_javascript(napi_env env, const std::string& name, const std::exception& error);

/// Throws an Error with this text in JavaScript, if that is still possible.
void throw_message(napi_env env, const std::string& text);

}  // namespace bantam
