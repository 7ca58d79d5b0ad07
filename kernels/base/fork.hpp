// An engine survives fork() by this interface. A child has the memory of its parent but none of its threads, and each
// lock stays as it was.
#pragma once

namespace dcvc {

// An object at rest while its process forks: the fork takes its locks before and gives them back after. Objects are
// registered from construction to destruction.
class Forkable {
 public:
  Forkable();
  virtual ~Forkable();
  Forkable(const Forkable&) = delete;
  Forkable& operator=(const Forkable&) = delete;

  virtual void hold() = 0;          // waits for work in progress and takes the locks
  virtual void release() = 0;       // gives the locks back, in parent and child
  virtual void lose_threads() = 0;  // forgets the threads; called in the child, which still holds the locks
};

}  // namespace dcvc
