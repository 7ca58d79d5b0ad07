// What lets an engine survive fork(): a child has the memory of its parent but none of its threads, and locks stay as
// they were.
#pragma once

namespace dcvc {

// Something whose locks are taken while a process forks, so that the child finds it at rest. Registered from
// construction to destruction.
class Forkable {
 public:
  Forkable();
  virtual ~Forkable();
  Forkable(const Forkable&) = delete;
  Forkable& operator=(const Forkable&) = delete;

  virtual void hold() = 0;          // waits for work in progress and takes the locks
  virtual void release() = 0;       // gives them back, in parent and child
  virtual void lose_threads() = 0;  // in the child, still held: the threads are gone
};

}  // namespace dcvc
