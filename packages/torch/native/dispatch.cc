// The one door to libtorch's operators: look up by name and overload, convert by schema, call boxed.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/jit_type.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <vector>

#include "arguments.h"
#include "checkpoint.h"
#include "handle.h"
#include "program.h"

namespace bantam {
namespace {

/// Operators are resolved once; JavaScript then names them by their index here. Each worker thread
/// has JavaScript of its own, and so a list of its own.
struct Known {
  c10::OperatorHandle handle;
  /// Of Bantam's own kernels, which read memory without asking where it is.
  bool is_own;
};
thread_local std::vector<Known> operators;

/// Fails with the argument's name and type in front.
[[noreturn]] void fail(const c10::Argument& argument, const std::string& problem) {
  throw WrongType("argument '" + argument.name() + "' (" + argument.type()->str() + ") " + problem);
}

[[noreturn]] void fail(const c10::Argument& argument, const std::string& expected, const Napi::Value& value) {
  fail(argument, "must be " + expected + ", not " + shown(value));
}

int64_t to_int(const Napi::Value& value, const c10::Argument& argument) {
  const auto integer = whole_number(value);
  if (!integer) fail(argument, "a whole number", value);
  return *integer;
}

double to_double(const Napi::Value& value, const c10::Argument& argument) {
  if (!value.IsNumber()) fail(argument, "a number", value);
  return value.As<Napi::Number>().DoubleValue();
}

bool to_bool(const Napi::Value& value, const c10::Argument& argument) {
  if (!value.IsBoolean()) fail(argument, "true or false", value);
  return value.As<Napi::Boolean>().Value();
}

at::Scalar to_scalar(const Napi::Value& value, const c10::Argument& argument) {
  if (value.IsBoolean()) return at::Scalar(value.As<Napi::Boolean>().Value());
  if (value.IsBigInt()) return at::Scalar(to_int(value, argument));
  const double number = to_double(value, argument);
  // Whole numbers stay integers, so that integer tensors are not promoted to floating point.
  if (std::trunc(number) == number && std::abs(number) < 9007199254740992.0) {
    return at::Scalar(static_cast<int64_t>(number));
  }
  return at::Scalar(number);
}

at::Tensor to_tensor(const Napi::Value& value, const c10::Argument& argument) {
  if (!value.IsExternal()) fail(argument, "a tensor", value);
  return unwrap_tensor(value);
}

c10::IValue to_ivalue(const Napi::Value& value, const c10::Type& type, const c10::Argument& argument);

/// A list of any element type, which converts each of its elements by its own type.
c10::IValue to_list(const Napi::Value& value, const c10::TypePtr& element, const c10::Argument& argument) {
  // Schemas such as int[2] take a single number for all dimensions.
  if (value.IsNumber() && element->kind() == c10::TypeKind::IntType && argument.N()) {
    const std::vector<int64_t> repeated(*argument.N(), to_int(value, argument));
    return c10::List<int64_t>(c10::ArrayRef<int64_t>(repeated));
  }
  if (!value.IsArray()) fail(argument, "an array", value);
  const auto array = value.As<Napi::Array>();
  // Symbolic integers are integers here; lists have the type of what they hold.
  const auto held = element->kind() == c10::TypeKind::SymIntType ? c10::TypePtr(c10::IntType::get()) : element;
  c10::impl::GenericList list(held);
  list.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) list.push_back(to_ivalue(array.Get(i), *held, argument));
  return list;
}

c10::IValue to_ivalue(const Napi::Value& value, const c10::Type& type, const c10::Argument& argument) {
  switch (type.kind()) {
    case c10::TypeKind::OptionalType:
      if (value.IsNull() || value.IsUndefined()) return {};
      return to_ivalue(value, *type.castRaw<c10::OptionalType>()->getElementType(), argument);
    case c10::TypeKind::TensorType:
      return to_tensor(value, argument);
    case c10::TypeKind::ListType:
      return to_list(value, type.castRaw<c10::ListType>()->getElementType(), argument);
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      return to_int(value, argument);
    case c10::TypeKind::FloatType:
      return to_double(value, argument);
    case c10::TypeKind::BoolType:
      return to_bool(value, argument);
    case c10::TypeKind::NumberType:
      return to_scalar(value, argument);
    case c10::TypeKind::StringType:
      if (!value.IsString()) fail(argument, "a string", value);
      return value.As<Napi::String>().Utf8Value();
    case c10::TypeKind::DeviceObjType:
      if (!value.IsString()) fail(argument, "a device name", value);
      return c10::Device(value.As<Napi::String>().Utf8Value());
    case c10::TypeKind::GeneratorType: {
      const auto& generator = unwrap_generator(value);
      note_draw(generator);
      return generator;
    }
    default:
      fail(argument, "is of a kind that is not supported");
  }
}

Napi::Value from_ivalue(Napi::Env env, c10::IValue value) {
  if (value.isNone()) return env.Null();
  if (value.isTensor()) return wrap_tensor(env, std::move(value).toTensor());
  if (value.isInt()) return Napi::Number::New(env, static_cast<double>(value.toInt()));
  if (value.isDouble()) return Napi::Number::New(env, value.toDouble());
  if (value.isBool()) return Napi::Boolean::New(env, value.toBool());
  if (value.isScalar()) return Napi::Number::New(env, value.toScalar().toDouble());
  if (value.isString()) return Napi::String::New(env, value.toStringRef());
  if (value.isList()) {
    auto list = value.toListRef();
    auto result = Napi::Array::New(env, list.size());
    for (uint32_t i = 0; i < list.size(); ++i) result[i] = from_ivalue(env, list[i]);
    return result;
  }
  throw std::runtime_error("a result is of a kind that is not supported: " + value.tagKind());
}

/// The operator that a call names; from here on the call's errors begin with its name.
const Known& operator_at(Call& call) {
  const auto index = integer_at(call, 0, 0, static_cast<int64_t>(operators.size()) - 1);
  const auto& op = operators[static_cast<size_t>(index)];
  call.name = op.handle.schema().name().c_str();
  return op;
}

/// A tensor of a call, and the argument that it is or is in.
struct Given {
  const c10::Argument& argument;
  const at::Tensor& tensor;
};

void tensors_of(const c10::Argument& argument, const Napi::Value& value, std::vector<Given>& found) {
  if (value.IsArray()) {
    const auto array = value.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); ++i) tensors_of(argument, array.Get(i), found);
  } else if (value.IsExternal() && argument.type()->str().find("Tensor") != std::string::npos) {
    found.push_back({argument, unwrap_tensor(value)});
  }
}

/// Says of a call whose tensors are on different devices that they are. Numbers of the CPU, which have no
/// dimensions, go with any device, and shapes without memory with anything.
void require_one_device(const Call& call, const c10::OperatorHandle& op) {
  const auto array = array_at(call, 1);
  const auto& arguments = op.schema().arguments();
  std::vector<Given> all;
  for (uint32_t i = 0; i < array.Length(); ++i) tensors_of(arguments[i], array.Get(i), all);
  const Given* first = nullptr;
  for (const auto& one : all) {
    if (one.tensor.is_meta() || (one.tensor.is_cpu() && one.tensor.dim() == 0)) continue;
    if (first == nullptr) first = &one;
    if (first->tensor.device() == one.tensor.device()) continue;
    throw std::runtime_error("its tensors are on different devices, '" + first->argument.name() + "' on " +
                             first->tensor.device().str() + " and '" + one.argument.name() + "' on " +
                             one.tensor.device().str() + "; move them to one of them with to(x, { device })");
  }
}

/// True if the tensors of a call's arguments are all on one device, shapes without memory aside.
bool on_one_device(const torch::jit::Stack& stack) {
  std::optional<c10::Device> found;
  const auto fits = [&](const at::Tensor& tensor) {
    if (!tensor.defined() || tensor.is_meta()) return true;
    if (!found) found = tensor.device();
    return *found == tensor.device();
  };
  return std::all_of(stack.begin(), stack.end(), [&](const c10::IValue& value) {
    if (value.isTensor()) return fits(value.toTensor());
    if (!value.isTensorList()) return true;
    const auto list = value.toTensorList();
    return std::all_of(list.begin(), list.end(), [&](const at::Tensor& tensor) { return fits(tensor); });
  });
}

/// Copies are the calls that may have tensors on two devices.
bool is_copy(const c10::OperatorHandle& op) { return op.schema().name() == "aten::copy_"; }

/// Converts the arguments (missing and undefined ones take the schema's defaults) and calls.
torch::jit::Stack run(Call& call) {
  const auto [op, is_own] = operator_at(call);  // a copy: a getter of the arguments may resolve others
  const auto given = array_at(call, 1);
  const auto& arguments = op.schema().arguments();
  if (given.Length() > arguments.size()) {
    throw WrongType("takes " + std::to_string(arguments.size()) + " arguments, not " +
                    std::to_string(given.Length()));
  }
  torch::jit::Stack stack;
  stack.reserve(arguments.size());
  for (uint32_t i = 0; i < arguments.size(); ++i) {
    const auto& argument = arguments[i];
    const Napi::Value value = i < given.Length() ? given.Get(i) : Napi::Env(call.env).Undefined();
    if (!value.IsUndefined()) {
      stack.push_back(to_ivalue(value, *argument.type(), argument));
    } else if (argument.default_value()) {
      stack.push_back(*argument.default_value());
    } else if (argument.type()->kind() == c10::TypeKind::OptionalType) {
      stack.emplace_back();
    } else {
      fail(argument, "is missing");
    }
  }
  if (is_own && !on_one_device(stack)) require_one_device(call, op);
  const auto before = is_recording_program() ? stack : torch::jit::Stack();
  try {
    op.callBoxed(stack);
  } catch (const c10::Error&) {
    if (!is_copy(op)) require_one_device(call, op);
    throw;
  }
  if (is_recording_program()) record_in_program(op, before, stack);
  return stack;
}

/// resolve(name, overload) → the operator's index for call() and callInPlace().
napi_value resolve(Call& call) {
  const auto name = string_at(call, 0), overload = string_at(call, 1);
  const auto found = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!found) {
    throw std::runtime_error("libtorch has no operator " + name + (overload.empty() ? "" : "." + overload));
  }
  operators.push_back({*found, name.rfind("bantam::", 0) == 0});
  return Napi::Number::New(call.env, static_cast<double>(operators.size() - 1));
}

/// call(operator, arguments) → the result, or an array where the operator has several.
napi_value call_operator(Call& call) {
  auto results = run(call);
  if (results.empty()) return nullptr;
  if (results.size() == 1) return from_ivalue(call.env, std::move(results[0]));
  auto array = Napi::Array::New(call.env, results.size());
  for (uint32_t i = 0; i < results.size(); ++i) array[i] = from_ivalue(call.env, std::move(results[i]));
  return array;
}

/// callInPlace(operator, arguments): the results are the arguments themselves and are dropped.
napi_value call_in_place(Call& call) {
  run(call);
  return nullptr;
}

napi_value schema(Call& call) {
  std::ostringstream text;
  text << operator_at(call).handle.schema();
  return Napi::String::New(call.env, text.str());
}

}  // namespace

void init_dispatch(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {
      {"resolve", resolve},
      {"call", call_operator},
      {"callInPlace", call_in_place},
      {"schema", schema},
  };
  add_entries(env, exports, entries);
}

}  // namespace bantam
