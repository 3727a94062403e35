/// tests/crash/shared: a value that forked processes see together and that outlives each of them:
/// what they acknowledge is recorded here, outside the bus.
#pragma once

#include <cstdlib>
#include <new>
#include <type_traits>

#include <sys/mman.h>

namespace mmsb::test {

/// Made before the fork; T of lock-free atomics.
template <class T>
class Shared {
public:
    Shared() {
        void* const at =
            ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) std::abort();
        value_ = new (at) T{};
    }
    ~Shared() { ::munmap(value_, sizeof(T)); }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;

    T* operator->() const noexcept { return value_; }
    T& operator*() const noexcept { return *value_; }

private:
    static_assert(std::is_trivially_destructible_v<T>);
    T* value_ = nullptr;
};

}  // namespace mmsb::test
