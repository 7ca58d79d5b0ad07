#include "machine.hpp"

#include <cstring>

#include "shadow.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define BEFORE_SWITCH(save, stack, bytes) __sanitizer_start_switch_fiber(save, stack, bytes)
#define AFTER_SWITCH(fake, stack, bytes) __sanitizer_finish_switch_fiber(fake, stack, bytes)
#else
#define BEFORE_SWITCH(save, stack, bytes) static_cast<void>(0)
#define AFTER_SWITCH(fake, stack, bytes) static_cast<void>(0)
#endif

namespace emulator {

Machine& Machine::get() {
  static Machine machine;
  return machine;
}

uint32_t Machine::random() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 17;
  return random_ ^= random_ << 5;
}

void Machine::fault(const char* kind, Place place, const std::string& detail) {
  const char* slash = std::strrchr(place.file, '/');
  ++faults_[std::string(kind) + " at " + (slash ? slash + 1 : place.file) + ":" + std::to_string(place.line) + ": " +
            detail];
}

std::string Machine::take_faults() {
  std::string text;
  for (const auto& [fault, count] : faults_) text += fault + " (" + std::to_string(count) + ")\n";
  faults_.clear();
  return text;
}

// The next fiber that can run: the rest of this warp first, or with a seed a random one now and then. -1: none.
int Machine::next_fiber() {
  const int warps = num_threads_ / kLanes;
  int warp = current_ / kLanes;
  if (order.seed && random() % 8 == 0) warp = static_cast<int>(random() % static_cast<uint32_t>(warps));
  for (int i = 0; i < warps; ++i, warp = (warp + 1) % warps) {
    const int first = order.seed ? static_cast<int>(random() % kLanes) : (current_ + 1) % kLanes;
    for (int lane = 0; lane < kLanes; ++lane) {
      const int thread = warp * kLanes + (first + lane) % kLanes;
      if (fibers_[static_cast<size_t>(thread)].state == State::kReady) return thread;
    }
  }
  return -1;
}

void Machine::enter_fiber() {
  Machine& machine = get();
  AFTER_SWITCH(nullptr, machine.home_stack_ ? nullptr : &machine.home_stack_,
               machine.home_stack_ ? nullptr : &machine.home_stack_bytes_);
  machine.body_();
  machine.finish_thread();
}

void Machine::switch_to(int thread) {
  Fiber& fiber = fibers_[static_cast<size_t>(thread)];
  current_ = thread;
  if (fiber.started) _longjmp(fiber.jump, 1);
  fiber.started = true;
  setcontext(&fiber.context);
}

void Machine::yield() {
  const int from = current_, to = next_fiber();
  if (to == from) return;
  Fiber& fiber = fibers_[static_cast<size_t>(from)];
  if (to < 0) {  // nobody can go on
    BEFORE_SWITCH(nullptr, home_stack_, home_stack_bytes_);
    _longjmp(home_, 1);
  }
  BEFORE_SWITCH(&fiber.fake_stack, fibers_[static_cast<size_t>(to)].stack.get(), kStackBytes);
  if (_setjmp(fiber.jump) == 0) switch_to(to);
  AFTER_SWITCH(fibers_[static_cast<size_t>(current_)].fake_stack, nullptr, nullptr);
}

void Machine::release_block() {
  if (at_barrier_ + done_ < num_threads_) return;
  at_barrier_ = 0;
  ++barriers_;
  for (int thread = 0; thread < num_threads_; ++thread) {
    State& state = fibers_[static_cast<size_t>(thread)].state;
    if (state == State::kAtBlock) state = State::kReady;
  }
}

void Machine::sync_block(Place place) {
  if (at_barrier_ > 0 && (barrier_place_.line != place.line || std::strcmp(barrier_place_.file, place.file) != 0)) {
    fault("divergence", place, "threads stand at different barriers");
  }
  barrier_place_ = place;
  fiber().state = State::kAtBlock;
  ++at_barrier_;
  release_block();
  yield();
}

void Machine::meet(Place place, const void* in, void* out, const std::function<void(const Lane*)>& compute) {
  Meeting& meeting = meetings_[static_cast<size_t>(warp())];
  if (meeting.count > 0 && meeting.place.line != place.line) {
    fault("divergence", place, "lanes of a warp stand at different warp instructions");
  }
  meeting.place = place;
  meeting.lanes[current_ % kLanes] = {in, out};
  if (++meeting.count < kLanes) {
    fiber().state = State::kAtWarp;
    yield();
    return;
  }
  meeting.count = 0;
  compute(meeting.lanes);
  for (int lane = 0; lane < kLanes; ++lane) {
    State& state = fibers_[static_cast<size_t>(warp() * kLanes + lane)].state;
    if (state == State::kAtWarp) state = State::kReady;
  }
  if (order.seed) yield();
}

void Machine::finish_thread() {
  fiber().state = State::kDone;
  ++done_;
  if (at_barrier_ > 0) release_block();
  const int to = next_fiber();
  if (to < 0) {
    BEFORE_SWITCH(nullptr, home_stack_, home_stack_bytes_);
    _longjmp(home_, 1);
  }
  BEFORE_SWITCH(nullptr, fibers_[static_cast<size_t>(to)].stack.get(), kStackBytes);
  switch_to(to);
}

// On its own, like run_fibers, because what returns twice may spoil a caller's variables.
__attribute__((noinline)) static void prepare(Fiber& fiber, void (*enter)()) {
  if (!fiber.stack) fiber.stack = std::make_unique<char[]>(kStackBytes);
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, enter, 0);
  fiber.started = false;
  fiber.state = State::kReady;
  fiber.open.clear();
  fiber.groups.clear();
}

void Machine::run_block(int threads) {
  at_barrier_ = done_ = 0;
  for (Meeting& meeting : meetings_) meeting.count = 0;
  for (int thread = 0; thread < threads; ++thread) prepare(fibers_[static_cast<size_t>(thread)], enter_fiber);
  current_ = 0;
  home_stack_ = nullptr;
  run_fibers(order.seed ? next_fiber() : 0);
}

// Returns when no fiber can run any more.
__attribute__((noinline)) void Machine::run_fibers(int first) {
  BEFORE_SWITCH(&home_fake_stack_, fibers_[static_cast<size_t>(first)].stack.get(), kStackBytes);
  if (_setjmp(home_) == 0) switch_to(first);
  AFTER_SWITCH(home_fake_stack_, nullptr, nullptr);
}

void Machine::launch(const int (&grid)[3], int threads, int shared_bytes, const std::function<void()>& body) {
  num_threads_ = threads;
  body_ = body;
  random_ = order.seed * 2654435761u + 1;
  ++launch_number_;
  shared_.assign(static_cast<size_t>(shared_bytes), 0);
  const int total = grid[0] * grid[1] * grid[2];
  for (int n = 0; n < total; ++n) {
    block_number_ = order.seed ? total - 1 - n : n;
    block_[0] = block_number_ % grid[0];
    block_[1] = block_number_ / grid[0] % grid[1];
    block_[2] = block_number_ / grid[0] / grid[1];
    std::memset(shared_.data(), 0xA5, shared_.size());
    shared_shadow().begin_block(shared_.size());
    ++barriers_;
    run_block(threads);
    if (done_ < threads) {
      fault("deadlock", barrier_place_, "threads wait that nobody wakes");
      return;
    }
  }
}

}  // namespace emulator
