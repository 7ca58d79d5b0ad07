#include "kernels/base/fork.hpp"

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <vector>

namespace dcvc {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<Forkable*> members;
};

// The registry is never destroyed: a fork may come as late as the end of the process.
Registry& registry() {
  static Registry* const one = new Registry;
  return *one;
}

void before_fork() {
  registry().mutex.lock();
  for (Forkable* member : registry().members) member->hold();
}

void after_fork_in_parent() {
  for (Forkable* member : registry().members) member->release();
  registry().mutex.unlock();
}

void after_fork_in_child() {
  for (Forkable* member : registry().members) member->lose_threads();
  after_fork_in_parent();
}

}  // namespace

Forkable::Forkable() {
  static const int registered = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  static_cast<void>(registered);
  const std::lock_guard lock(registry().mutex);
  registry().members.push_back(this);
}

Forkable::~Forkable() {
  const std::lock_guard lock(registry().mutex);
  auto& members = registry().members;
  members.erase(std::remove(members.begin(), members.end(), this), members.end());
}

}  // namespace dcvc
